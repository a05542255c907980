"""Comparison of training variants: settings, intervals, table; finished runs are not repeated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from kit.build import ablate as module
from kit.build.ablate import BASE, Run, compare, markdown, t_interval, variants, with_budget, with_settings
from kit.config import parse_config
from kit.errors import ConfigError
from tests.models import tiny_config
from tests.support import need_package


def test_settings_change_the_config_they_name() -> None:
    base = parse_config({"name": "x"})
    got = with_settings(base, "model.decoder=wide, train.codebook=ema,preprocess.augment.time_warp=0.1")
    assert got.model.decoder == "wide" and got.train.codebook == "ema" and got.preprocess.augment.time_warp == 0.1
    assert [v.label for v in variants(base, ["model.beta=1.0"])] == [BASE, "model.beta=1.0"]
    budget = with_budget(got, 7, 2, None)
    assert (budget.train.seed, budget.train.epochs, budget.train.steps_per_epoch) == (7, 2, 400)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model.decoder", "is not section.key=value"),
        ("model.decoder=wild", "nearest valid: wide"),
        ("modle.decoder=wide", "modle"),
        ("name.x=1", "is no key"),
        ("model.beta=[", "not a YAML value"),
        ("model..beta=1", "is not section.key=value"),
    ],
)
def test_wrong_settings_are_one_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match="--set") as error:
        with_settings(parse_config({"name": "x"}), text)
    assert said in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(ConfigError, match="twice"):
        variants(parse_config({"name": "x"}), ["model.beta=1.0", "model.beta=1.0"])


def test_t_interval_of_a_textbook_sample() -> None:
    # Three values of deviation 1: half width t(0.975, 2) / sqrt(3) = 4.3027 / 1.7321.
    mean, half = t_interval([1.0, 2.0, 3.0])
    assert mean == 2.0 and half == pytest.approx(2.4841, abs=1e-4)
    assert t_interval([5.0])[1] == float("inf")


def run(label: str, seed: int, prd: float, bits: float = 7.0) -> Run:
    return Run(label, seed, prd, (7.5, bits), 20, 80, 1000, 3, 5, 10.0)


def test_change_is_paired_by_seed() -> None:
    runs = [run(BASE, 1, 5.0), run("a=1", 1, 4.0), run(BASE, 2, 7.0), run("a=1", 2, 6.1), run(BASE, 3, 6.0)]
    base, other = compare(runs)
    assert base["change"] is None and other["seeds"] == [1, 2]
    assert other["change"][0] == pytest.approx(-0.95)
    assert other["change"][1] < 0.7 < other["val_prd"][1]
    table = markdown([base, other], "Caption.")
    assert table.startswith("Caption.\n\n| variant |") and "| a=1 | 2 | 5.050 ±" in table and "-0.950 ± 0.635" in table
    assert compare(runs[:1])[0]["val_prd"] == [5.0, None]


def test_change_is_that_at_the_bits_of_the_base() -> None:
    # 20 positions of 2 bits more are half a bit for each of 80 latents: at the base's bits the error is 2^0.5 times it.
    rows = compare([run(BASE, 1, 5.0), run("a=1", 1, 4.0, 9.0)])
    assert rows[1]["val_prd"][0] == 4.0 and rows[1]["frame_bits"] == 330.0
    assert rows[1]["same_bits"][0] == pytest.approx(5.657, abs=1e-3) and rows[0]["same_bits"] is None
    assert rows[1]["change"][0] == pytest.approx(0.657, abs=1e-3)
    assert "| a=1 | 1 | 4.000 | 7.50 + 9.00 | 330.0 | 5.657 | +0.657 |" in markdown(rows, "Caption.")


def test_terminal_shows_a_table_where_it_has_room(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    from kit.cli.ablate import print_table

    rows = compare([run(BASE, 1, 5.0), run("a.b=1,c.d=2", 1, 4.0), run(BASE, 2, 7.0), run("a.b=1,c.d=2", 2, 6.1)])
    assert print_table(Console(width=120, force_terminal=True, no_color=True), rows, "Caption.")
    shown = capsys.readouterr().out
    # Every figure in one piece, a variant's settings below each other, what only the file has left out.
    assert "5.050 ± 13.342" in shown and "-0.950 ± 0.635" in shown and "a.b=1," in shown and "a.b=1,c.d=2" not in shown
    assert "Caption." in shown and "steps/s" not in shown
    assert not print_table(Console(width=60, force_terminal=True), rows, "Caption.")
    assert not capsys.readouterr().out


def test_verb_compares_and_does_not_repeat_finished_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_package("tensorflow")
    from kit.cli.main import app
    from kit.config import dump_config
    from kit.model import training

    source = {"type": "synthetic", "subjects": 4, "seconds_per_subject": 20}
    settings = {"batch_size": 8, "epochs": 9, "steps_per_epoch": 9}
    config = tiny_config(data={"sources": [source]}, train=settings)
    (tmp_path / "base.yaml").write_text(dump_config(config))
    words: list[Any] = ["ablate", "--config", tmp_path / "base.yaml", "--out", tmp_path / "out", "--seeds", "2"]
    words += ["--epochs", "1", "--steps-per-epoch", "3", "--set", "model.decoder=wide,model.decoder_width=8"]
    trained: list[int] = []
    original = training.train

    def counted(config: Any, *rest: Any, **options: Any) -> Any:
        trained.append(config.train.seed)
        if len(trained) == 4:
            raise KeyboardInterrupt
        return original(config, *rest, **options)

    monkeypatch.setattr(training, "train", counted)
    first = CliRunner().invoke(app, [str(word) for word in words])
    assert first.exit_code == 130 and trained == [1, 1, 2, 2]
    assert len(json.loads((tmp_path / "out" / "ablation.json").read_text())["runs"]) == 3
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    assert trained == [1, 1, 2, 2, 2]
    document = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert [row["seeds"] for row in document["rows"]] == [[1, 2], [1, 2]]
    assert document["rows"][1]["variant"] == "model.decoder=wide,model.decoder_width=8"
    assert "synthetic" in document["caption"] and "1 epochs of 3 steps of 8 frames" in document["caption"]
    assert (tmp_path / "out" / "ablation.md").read_text() in done.output
    assert module.RESULT in {p.name for p in (tmp_path / "out" / "runs").rglob("*.json")}


def ablation_of_packets(tmp_path: Path, *more: str) -> list[str]:
    from kit.config import dump_config

    source = {"type": "synthetic", "subjects": 4, "seconds_per_subject": 20}
    model = {"encoder_block_norm": "none", "encoder": "lapped", "encoder_taps": 15, "decoder_head_norm": "none"}
    quantize = {"refit_steps": 4, "codebook_rounds": 1, "calibration_frames": 8}
    config = tiny_config(data={"sources": [source]}, train={"batch_size": 8}, model=model, quantize=quantize)
    (tmp_path / "base.yaml").write_text(dump_config(config))
    words = ["ablate", "--config", str(tmp_path / "base.yaml"), "--out", str(tmp_path / "out"), "--seeds", "1"]
    return [*words, "--epochs", "1", "--steps-per-epoch", "4", "--set", "quantize.codebook_bits=16", *more]


def test_packets_of_variants_that_share_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_package("tensorflow")
    from kit.build import ablate_packets
    from kit.cli.main import app
    from kit.model import training

    trained: list[int] = []
    original = training.train

    def counted(config: Any, *rest: Any, **options: Any) -> Any:
        trained.append(config.train.seed)
        return original(config, *rest, **options)

    monkeypatch.setattr(training, "train", counted)
    words = ablation_of_packets(tmp_path, "--packets", "--set", "packet.coding=range")
    with monkeypatch.context() as patch:
        patch.setattr(ablate_packets, "_judged", interrupt)
        assert CliRunner().invoke(app, words).exit_code == 130
    assert trained == [1]
    first = CliRunner().invoke(app, words)
    assert first.exit_code == 0, first.output
    # The base's stages had been finished before the interruption; its training serves all three.
    assert trained == [1] and first.output.count("Decoder refit on INT8 indices: unchanged") == 1
    document = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert "from packets, engine reference" in document["caption"]
    base, wide, coded = document["runs"]
    assert base["payload_bytes"] == wide["payload_bytes"] == base["sets"]["synthetic"][1]
    assert base["val_prd"] == base["sets"]["synthetic"][0] != wide["val_prd"]
    assert 0 < coded["payload_bytes"] <= base["payload_bytes"] and coded["entropy_bits"] == base["entropy_bits"]
    assert document["rows"][2]["frame_bits"] == 8 * coded["payload_bytes"]
    assert "| synthetic: PRD, %; bytes |" in first.output
    monkeypatch.setattr(ablate_packets, "run_stages", interrupt)
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 0 and (tmp_path / "out" / "ablation.md").read_text() in again.output


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_what_float_models_do_not_show_is_refused(tmp_path: Path) -> None:
    need_package("tensorflow")
    from kit.cli.main import app

    result = CliRunner().invoke(app, ablation_of_packets(tmp_path))
    assert isinstance(result.exception, ConfigError) and not (tmp_path / "out" / "runs").exists()
    assert "--set quantize.codebook_bits=16" in str(result.exception) and "--packets" in str(result.exception)
