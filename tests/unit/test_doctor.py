"""``kit doctor`` lists what is there, and says how to get what is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def doctor(path: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kit", "doctor", *options],
        env={**os.environ, "PATH": path, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_everything_found_has_a_version_and_a_purpose() -> None:
    done = doctor(os.environ["PATH"], "--json")
    findings = {f["name"]: f for f in json.loads(done.stdout)}
    assert findings["python"]["state"] == "found"
    assert findings["numpy"]["state"] == "found"
    for finding in findings.values():
        assert finding["purpose"]
        assert finding["how"]
        if finding["state"] == "found":
            assert finding["version"], finding["name"]


def test_missing_tools_are_named_with_the_way_to_get_them(tmp_path: Path) -> None:
    done = doctor(str(tmp_path))
    assert done.returncode == 1
    assert "missing for the main job" in done.stderr
    assert "gcc" in done.stderr
    how = {f["name"]: f["how"] for f in json.loads(doctor(str(tmp_path), "--json").stdout)}
    assert "apt install" in how["gcc"]
