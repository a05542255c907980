"""The scorecard as document, table, CSV and page: what they say, and that equal input gives equal bytes."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from kit.build.candidates import find_candidates
from kit.data import build_dataset
from kit.errors import ArtifactError, ConfigError, ShapeError
from kit.evaluate.candidate import Candidate
from kit.evaluate.evalset import evaluation_set, quick_blocks
from kit.evaluate.judge import Judge
from kit.evaluate.scorecard import Options, scorecard
from kit.evaluate.scorecard_page import render_page
from kit.evaluate.scorecard_table import HEADINGS, print_scorecard, scorecard_csv
from kit.evaluate.sizes import packet_sizes
from kit.evaluate.svg import Axis
from kit.server.bundle import Bundle
from kit.wire.packet import PacketLayout
from tests.scorecard_run import scorecard_config, write_run

WORK: list[str] = []


def judged(folder: Path, options: Options, *names: str) -> dict[str, Any]:
    candidates = [
        Candidate(name, folder / name, "random", Bundle.load(folder / name / "server"), "reference") for name in names
    ]
    return scorecard(candidates, options, build_dataset, lambda what, done, total: WORK.append(what))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    # Ten windows of noise: what they show is tested where the probes are.
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr("kit.evaluate.probes.WINDOWS", 10)
    folder = tmp_path_factory.mktemp("scorecard")
    for name in ("one", "two"):
        write_run(folder / name, scorecard_config(name))
    yield folder
    monkeypatch.undo()


@pytest.fixture(scope="module")
def document(folder: Path) -> dict[str, Any]:
    return judged(folder, Options(cache=folder / "cache"), "one", "two")


def test_document_holds_what_is_promised(document: dict[str, Any]) -> None:
    (one,) = document["sets"]
    assert one["synthetic"] and not one["quick"] and one["split"] == "test"
    (name,) = one["datasets"]
    facts = one["datasets"][name]
    assert facts["frames"] == facts["available"] > 0 and facts["subjects"] >= 2
    for run in one["runs"]:
        found = run["figures"][name]
        assert found["frames"] == facts["frames"]
        assert found["payload_bytes"] == 24.0 and found["wire_bytes"] > 24.0 + run["side_bytes"]
        low, high = found["prd_interval"]
        assert low <= found["prd"] <= high and found["prd"] < 100.0
        assert found["prd_median"] <= found["prd_p90"] and 0 < found["cosine"] <= 1
        assert sum(third["frames"] for third in found["tertiles"]) == found["frames"]
        assert sum(subject["frames"] for subject in found["subjects"]) == found["frames"]
        assert [example["rank"] for example in found["examples"]] == ["best", "median", "worst"]
        assert [b["name"] for b in run["matched"]] == ["dct", "spiht", "decimation"]
        for baseline in run["matched"]:
            other = baseline["figures"][name]
            assert 23.0 <= other["payload_bytes"] <= 24.01 and other["frames"] == found["frames"]
        assert {probe["name"] for probe in run["probes"]} >= {"zeros", "flat", "step", "white noise", "low noise"}
        assert run["ladder"] is None
    for points in one["curves"][name].values():
        assert [p["payload_bytes"] for p in points] == sorted(p["payload_bytes"] for p in points)
        assert points[-1]["prd"] < points[0]["prd"]
    assert 1.0 < one["lossless"][name]["ratio"] < 10.0


def test_pooled_prd_is_rule_8() -> None:
    config = scorecard_config()
    frames = evaluation_set(build_dataset(config), config, "test")
    noise = np.random.default_rng(4).normal(size=frames.frames.shape)
    decoded = (frames.frames + 20 * noise).astype(np.float32)
    sizes = packet_sizes(PacketLayout.from_config(config), [b"123456"] * len(noise))
    (found,) = Judge(frames).figures(decoded, sizes).values()
    centred = frames.frames - frames.frames.mean(axis=1, keepdims=True)
    error = np.square(decoded - frames.frames).sum(axis=1)
    expected = 100 * np.sqrt((error / np.square(centred).sum(axis=1)).mean())
    assert found["prd"] == pytest.approx(expected, rel=1e-6)
    assert found["prdn"] == pytest.approx(100 * np.sqrt(error.sum() / np.square(centred).sum()), rel=1e-6)
    with pytest.raises(ShapeError, match="not decoded"):
        Judge(frames).figures(np.full_like(decoded, np.nan), sizes)


def test_finished_baselines_are_kept(folder: Path, document: dict[str, Any]) -> None:
    WORK.clear()
    again = judged(folder, Options(cache=folder / "cache"), "one", "two")
    assert json.dumps(again) == json.dumps(document)
    assert not [what for what in WORK if what.startswith(("dct, ", "spiht, ", "decimation, ", "lossless, "))]
    next((folder / "cache").glob("*.npz")).write_bytes(b"damaged")
    assert json.dumps(judged(folder, Options(cache=folder / "cache"), "one", "two")) == json.dumps(document)


def test_page_is_the_same_every_time_and_stands_alone(document: dict[str, Any]) -> None:
    page = render_page(document)
    assert page == render_page(json.loads(json.dumps(document)))
    assert "http" not in page and not re.search(r"(src|href|url)\s*[=(]", page)
    assert "NaN" not in page and "nan" not in re.findall(r'points="([^"]*)"', page)
    assert "Synthetic signal." in page and "A quick look." not in page
    for text in ("one", "two", "best: PRD", "DCT + arithmetic coding", "prefers-color-scheme: dark"):
        assert text in page
    for found in re.findall(r' (?:x1|x2|y1|y2|cx|cy|x|y)="([^"]*)"', page):
        assert -60.0 <= float(found) <= 700.0


def test_page_shows_ladder_and_quick_look(document: dict[str, Any]) -> None:
    copied = json.loads(json.dumps(document))
    one = copied["sets"][0]
    one["quick"] = True
    rungs = [{"rung": name, "frames": 8, "prd": 2.0 * over, "ratio": over} for name, over in (("a", 1.0), ("b", 1.25))]
    one["runs"][0]["ladder"] = {name: rungs for name in one["datasets"]}
    page = render_page(copied)
    assert "A quick look." in page and "From float to packet" in page and "1.250×" in page


def test_csv_has_a_row_per_codec_and_group(document: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(scorecard_csv(document))))
    assert tuple(rows[0]) == HEADINGS
    one = document["sets"][0]
    subjects = sum(facts["subjects"] for facts in one["datasets"].values())
    assert len(rows) == len(one["runs"]) * 4 * (1 + 3 + subjects)
    (name,) = one["datasets"]
    assert float(rows[0]["prd"]) == pytest.approx(one["runs"][0]["figures"][name]["prd"], rel=1e-5)
    assert {row["engine"] for row in rows} == {"reference", "baseline"}
    assert {row["split"] for row in rows} == {"test"}


@pytest.mark.parametrize("width", [80, 120])
def test_table_fits_the_terminal(document: dict[str, Any], width: int) -> None:
    stream = io.StringIO()
    print_scorecard(document, Console(file=stream, width=width, highlight=False))
    text = stream.getvalue()
    assert max(len(line) for line in text.splitlines()) <= width and "…" not in text
    (name,) = document["sets"][0]["datasets"]
    figures = document["sets"][0]["runs"][0]["figures"][name]
    assert f"{figures['prd']:.2f}" in text and f"{figures['frames']} frames" in text
    assert ("cosine" in text) == (width >= 110)


def test_a_quick_look_takes_blocks() -> None:
    members = np.arange(1000) * 2
    found = quick_blocks(members, 48)
    assert len(found) == 48 and found[0] == 0 and found[-1] == 1998
    assert (np.diff(found) == 2).sum() == 44
    assert quick_blocks(members, None) is members and quick_blocks(members, 5000) is members


def test_quick_figures_say_so(folder: Path) -> None:
    found = judged(folder, Options(frames=24), "one")
    (one,) = found["sets"]
    assert one["quick"] and sum(facts["frames"] for facts in one["datasets"].values()) == 24
    stream = io.StringIO()
    print_scorecard(found, Console(file=stream, width=100))
    assert "a quick look at 24 of" in stream.getvalue()


def test_runs_of_other_signals_get_a_set_of_their_own(folder: Path) -> None:
    write_run(folder / "wide", scorecard_config("wide", frame_samples=128))
    found = judged(folder, Options(frames=24), "one", "wide")
    assert [one["frame_samples"] for one in found["sets"]] == [64, 128]


def test_what_cannot_be_judged_is_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="nothing to evaluate"):
        find_candidates([], False, "reference")
    with pytest.raises(ArtifactError, match=r"no run or zoo entry 08x_ds8; nearest: 08x_ds8_l2"):
        find_candidates(["08x_ds8"], False, "reference")
    with pytest.raises(ArtifactError, match="is not a run"):
        find_candidates([str(tmp_path)], False, "reference")
    with pytest.raises(ConfigError, match="two things to evaluate are named one"):
        judged(folder, Options(), "one", "one")
    with pytest.raises(ArtifactError, match=r"no autoencoder\.keras"):
        judged(folder, Options(ladder=True), "one")
    with pytest.raises(ConfigError, match="--split train"):
        judged(folder, Options(split="train"), "one")
    (found,) = find_candidates([str(folder / "one")], False, "native")
    with pytest.raises(ArtifactError, match="needs a rendered firmware"):
        found.check()
    (folder / "one" / "encoder.tflite").rename(folder / "one" / "gone")
    with pytest.raises(ArtifactError, match=r"no encoder\.tflite"):
        found.check()
    (folder / "one" / "gone").rename(folder / "one" / "encoder.tflite")


def test_zoo_entries_are_found_by_name_and_all_at_once() -> None:
    (named,) = find_candidates(["zoo/08x_ds8_l2"], False, "reference")
    assert named.weights == "zoo/08x_ds8_l2" and named.labels == ("reference", "python")
    named.check()
    assert "08x_ds8_l2" in [found.name for found in find_candidates([], True, "golden")]


def test_ticks_are_round_and_inside() -> None:
    ticks = Axis(0.15, 12.0, 0, 100, log=True).ticks()
    assert [text for _, text in ticks] == ["0.2", "0.5", "1", "2", "5", "10"]
    assert [x for x, _ in ticks] == pytest.approx([6.6, 27.5, 43.3, 59.1, 80.0, 95.8], abs=0.1)
    assert [text for _, text in Axis(0.0, 5.0, 0, 100).ticks(5)] == ["0", "1", "2", "3", "4", "5"]
    assert Axis(2.0, 2.0, 0, 100).at(2.0) == 50.0
