"""``kit evaluate`` as a user starts it, without recordings and without TensorFlow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scorecard_run import scorecard_config, write_run

BLOCKED = """
import sys
sys.modules["tensorflow"] = sys.modules["keras"] = None
sys.argv[0] = "kit"
from kit.cli.main import main
main()
"""


def kit(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BLOCKED, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluate")
    write_run(folder / "runs" / "small", scorecard_config())
    return folder


def test_all_outputs_are_written_and_the_same_every_time(folder: Path) -> None:
    for turn in ("a", "b"):
        done = kit(
            "evaluate", "--run", "small", "--json", f"{turn}.json", "--csv", f"{turn}.csv", "--html", f"{turn}.html",
            cwd=folder,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "PRD" in done.stdout and "small" in done.stdout and "synthetic" in done.stdout
    for ending in ("json", "csv", "html"):
        one, two = (folder / f"{turn}.{ending}" for turn in ("a", "b"))
        assert one.read_bytes() == two.read_bytes()
        assert str(folder) not in one.read_text()
    document = json.loads((folder / "a.json").read_text())
    assert document["sets"][0]["runs"][0]["target"] == "python"
    assert list((folder / "runs" / "evaluate-cache").glob("*.npz"))
    done = kit("evaluate", "--run", "small", "--no-curves", "--json", "c.json", cwd=folder)
    assert done.returncode == 0, done.stderr
    short = json.loads((folder / "c.json").read_text())
    assert short["sets"][0]["runs"][0]["matched"] == document["sets"][0]["runs"][0]["matched"]
    assert all(len(points) == 1 for codecs in short["sets"][0]["curves"].values() for points in codecs.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing to evaluate"),
        (("--run", "smal"), "no run or zoo entry smal; nearest: small"),
        (("--run", "small", "--split", "train"), "--split train"),
        (("--run", "small", "--target", "moon"), "no target 'moon'"),
        (("--run", "small", "--target", "native"), "needs a rendered firmware"),
        (("--run", "small", "--ladder"), "no autoencoder.keras"),
        (("--run", "small", "--data", "nowhere", "--frames", "12", "--json", "/proc/x/y"), "cannot write"),
    ],
)
def test_bad_input_is_one_line(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    done = kit("evaluate", *arguments, cwd=folder)
    lines = done.stderr.strip().splitlines()
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert lines[-1].startswith("kit: ") and message in lines[-1], done.stderr
