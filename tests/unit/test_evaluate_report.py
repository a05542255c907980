"""The report: what it says, that it stands alone, and that equal builds give equal bytes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit.data import FrameRef
from kit.errors import ShapeError
from kit.evaluate.path import Evaluation, evaluation
from kit.evaluate.plots import reconstruction_figure
from kit.evaluate.report import ReportFacts, write_report
from kit.wire.packet import PacketLayout
from tests.models import tiny_config

CONFIG = tiny_config()
FACTS = ReportFacts(
    "0123456789abcdef", "trained by this run", "bidmc", encoder={"MAC per frame": 876016}, decoder_parameters=52077
)
VALIDATION: dict[str, Any] = {
    "truth": "golden", "frames": 8, "source": "bidmc, test", "engine": "aot", "passed": False,
    "outcomes": [
        {"target": "native", "state": "passed", "detail": "8 frames equal", "first_layer_mismatch": None},
        {"target": "qemu", "state": "failed", "detail": "latents <differ>", "first_layer_mismatch": "conv1 [t=1, c=2]"},
    ],
}  # fmt: skip


def evaluated(path: str = "device") -> Evaluation:
    samples = CONFIG.signal.frame_samples
    random = np.random.default_rng(3)
    frames = np.rint(800 * np.sin(np.arange(samples) / 5) + 30 * random.normal(size=(12, samples))).astype(np.int16)
    decoded = (frames + random.normal(size=frames.shape) * np.linspace(5, 40, 12)[:, None]).astype(np.float32)
    refs = [FrameRef(("bidmc", "other_set")[i % 2], f"r{i % 4}", samples * i, f"s{i % 4}") for i in range(12)]
    labels = {"path": path, "split": "test", "engine": "reference", "target": "python"}
    return evaluation(CONFIG, frames, decoded, refs, index_entropy=(3.5, 3.25), **labels)


def test_report_files_say_the_same(tmp_path: Path) -> None:
    facts = replace(FACTS, validation=VALIDATION, notes=["A note."])
    document = write_report(tmp_path, CONFIG, facts, [evaluated(), evaluated("float")])
    assert json.loads((tmp_path / "report.json").read_text()) == document
    html = (tmp_path / "report.html").read_text()
    figures = document["evaluations"][0]["datasets"]["bidmc"]
    layout = PacketLayout.from_config(CONFIG)
    for text in (
        CONFIG.name, FACTS.build_hash, f"{figures['prd']:.2f}", f"{figures['frames']} frames", "876,016", "52,077",
        f"{CONFIG.compression_ratio:.2f}", f"{layout.wire_ratio:.2f}", "Validation failed", "conv1 [t=1, c=2]",
        "latents &lt;differ&gt;", "A note.", "frame_samples:", document["definition"].split(",")[0],
    ):  # fmt: skip
        assert text in html, text
    assert (tmp_path / "reconstruction.png").read_bytes().startswith(b"\x89PNG")
    assert f"PRD {figures['prd']:.2f} % (bidmc test, {figures['frames']} frames" in document["summary"][1]
    assert document["summary"][-1].endswith("1 passed, 1 failed")


def test_report_stands_alone(tmp_path: Path) -> None:
    write_report(tmp_path, CONFIG, FACTS, [evaluated()])
    html = (tmp_path / "report.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:)", html)
    assert "http" not in re.sub(r"data:[^\"]*", "", html)
    assert str(tmp_path) not in html


def test_equal_builds_give_equal_reports(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_report(tmp_path / name, CONFIG, FACTS, [evaluated()])
    for name in ("report.html", "report.json", "reconstruction.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_synthetic_signal_is_announced(tmp_path: Path) -> None:
    write_report(tmp_path, CONFIG, replace(FACTS, synthetic=True), [evaluated()])
    assert "Synthetic signal." in (tmp_path / "report.html").read_text()
    write_report(tmp_path, CONFIG, FACTS, [evaluated()])
    assert "Synthetic signal." not in (tmp_path / "report.html").read_text()


def test_figures_hold_no_date_or_version() -> None:
    for form in ("png", "svg"):
        data = reconstruction_figure(evaluated(), 64, form)  # type: ignore[arg-type]
        assert b"atplotlib v" not in data and b"dc:date" not in data and b"Software" not in data


def test_a_report_needs_the_device_path(tmp_path: Path) -> None:
    with pytest.raises(ShapeError):
        write_report(tmp_path, CONFIG, FACTS, [])
    with pytest.raises(ShapeError):
        write_report(tmp_path, CONFIG, FACTS, [evaluated("float")])
    assert not list(tmp_path.iterdir())
