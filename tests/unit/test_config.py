"""The configuration: defaults of the description, and one clear line for everything wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kit.build.configs import find_config
from kit.config import Config, ModelConfig, dump_config, load_config, parse_config
from kit.errors import ConfigError
from kit.files import read_json
from tests.support import ROOT

CONFIGS = sorted(path.stem for path in (ROOT / "configs").glob("*x_ds*.yaml"))


@pytest.mark.parametrize("name", CONFIGS)
def test_named_operating_points(name: str) -> None:
    """The ratio of a name is that of the index bits, or of what is sent in the mean where they are range-coded."""
    config = load_config(ROOT / "configs" / f"{name}.yaml")
    assert config.name == name
    ratio = float(name.removeprefix("ecg_").split("x_")[0])
    if config.packet.coding == "fixed":
        assert config.compression_ratio == ratio
    else:
        raw = config.signal.frame_samples * config.signal.sample_bits / 8
        assert config.compression_ratio == pytest.approx(ratio * 8 / config.model.index_bits, rel=1e-12)
        sent = [found["payload_bytes"] for found in read_json(ROOT / "zoo" / name / "figures.json")["figures"]]
        assert all(raw / payload >= ratio for payload in sent), sent
    assert config.signal.kind == ("ecg" if name.startswith("ecg_") else "ppg")
    assert config.model.num_levels == int(name[-1])
    assert config.model.downsampling == int(name.split("_ds")[1].split("_")[0])


def test_the_four_operating_points_are_there() -> None:
    assert {"04x_ds4_l2", "08x_ds8_l2", "16x_ds16_l2", "32x_ds16_l1"} <= set(CONFIGS)


def test_model_section_has_the_described_keys_and_defaults() -> None:
    assert ModelConfig().model_dump() == {
        "embedding_dim": 16,
        "latent_width": 256,
        "num_levels": 2,
        "num_stages": 3,
        "base_filters": 32,
        "multiplier": 1.25,
        "beta": 0.25,
        "encoder_block_norm": "batch",
        "encoder_head_norm": "none",
        "decoder_block_norm": "none",
        "decoder_head_norm": "layer",
        "encoder": "staged",
        "encoder_taps": 63,
        "encoder_filters": 0,
        "decoder": "mirror",
        "decoder_width": 128,
        "decoder_blocks": 5,
    }


@pytest.mark.parametrize("bits", [1, 10, 11, 12])
def test_latent_width_is_a_power_of_two_up_to_4096(bits: int) -> None:
    model = {"latent_width": 1 << bits, "num_levels": 8}
    config = parse_config({"name": "x", "model": model, "train": {"rate_bits": 8.0 * bits}})
    assert config.model.index_bits == bits and config.train.rate_bits == 8 * bits


def test_build_and_config_hashes_do_not_know_the_decoder() -> None:
    from kit.render.environment import config_hash

    plain, wide = parse_config({"name": "x"}), parse_config({"name": "x", "model": {"decoder": "wide"}})
    assert config_hash(plain) == config_hash(wide) != config_hash(parse_config({"name": "x", "model": {"beta": 0.5}}))


def test_a_line_about_two_keys_shows_no_section() -> None:
    for change in ({"model": {"encoder": "lapped", "encoder_taps": 7}}, {"signal": {"frame_samples": 322}}):
        with pytest.raises(ConfigError, match=r"^a\.yaml: (model|signal)\.\w+ = \d+: [^{]*$"):
            parse_config({"name": "x", **change}, "a.yaml")


def test_hashes_know_the_taps_of_the_lapped_encoder_only() -> None:
    from kit.render.environment import config_hash

    def hashed(**model: Any) -> str:
        return config_hash(parse_config({"name": "x", "model": model}))

    assert hashed() == hashed(encoder_taps=31, encoder_filters=8)
    lapped = [{}, {"encoder_taps": 31}, {"encoder_filters": 8}]
    assert len({hashed(), *(hashed(encoder="lapped", **model) for model in lapped)}) == 4


def test_dump_is_complete_and_round_trips() -> None:
    config = parse_config({"name": "x"})
    text = dump_config(config)
    assert "ring_margin_samples" in text
    import yaml

    assert parse_config(yaml.safe_load(text)) == config


WRONG: list[tuple[dict[str, Any], list[str]]] = [
    ({"modle": {}}, ["modle", "unknown key", "model"]),
    ({"model": {"latent_widht": 256}}, ["model.latent_widht", "256", "latent_width"]),
    ({"model": {"latent_width": 300}}, ["model.latent_width = 300", "power of two", "nearest valid: 256"]),
    ({"model": {"latent_width": 8192}}, ["model.latent_width = 8192", "2..4096", "nearest valid: 4096"]),
    ({"model": {"num_levels": 0}}, ["model.num_levels = 0", "nearest valid: 1"]),
    ({"model": {"num_levels": "2"}}, ["model.num_levels = '2'", "integer"]),
    ({"model": {"beta": -0.1}}, ["model.beta", "nearest valid: 0"]),
    (
        {"model": {"encoder": "lapped", "encoder_taps": 7}},
        ["model.encoder_taps = 7", "2^num_stages = 8", "nearest valid: 8"],
    ),
    ({"model": {"encoder": "laped"}}, ["encoder = 'laped'", "nearest valid: lapped"]),
    ({"model": {"encoder_block_norm": "bach"}}, ["encoder_block_norm = 'bach'", "nearest valid: batch"]),
    ({"signal": {"frame_samples": 322}}, ["signal.frame_samples = 322", "2^num_stages = 8", "nearest valid: 320"]),
    ({"train": {"codebook": "emma"}}, ["train.codebook = 'emma'", "nearest valid: ema"]),
    (
        {"model": {"num_levels": 1}, "train": {"level_dropout": 0.5}},
        ["train.level_dropout", "num_levels = 1", "nearest valid: 0"],
    ),
    ({"signal": {"frame_samples": 326}}, ["nearest valid: 328"]),
    ({"signal": {"frame_samples": 16}, "model": {"num_stages": 4}}, ["model.num_stages = 4", "nearest valid: 3"]),
    ({"signal": {"sample_bits": 32}}, ["signal.sample_bits = 32", "nearest valid: 24"]),
    ({"quantize": {"beam": 9}}, ["quantize.beam = 9", "nearest valid: 8"]),
    ({"quantize": {"beam": 4}, "model": {"num_levels": 1}}, ["quantize.beam = 4", "nearest valid: 1"]),
    ({"train": {"rate_bits": 9.0, "rate_weight": 0.1}}, ["train.rate_bits", "no rate_weight"]),
    ({"train": {"rate_bits": 9.0}, "quantize": {"rate_weight": 0.1}}, ["train.rate_bits", "no rate_weight"]),
    ({"train": {"rate_bits": 17.0}}, ["train.rate_bits = 17", "nearest valid: 16"]),
    ({"quantize": {"rate_bits": 9.0}}, ["quantize.rate_bits", "nearest valid: rate_weight"]),
    ({"quantize": {"input_remainder_bits": 5}}, ["quantize.input_remainder_bits = 5", "nearest valid: 4"]),
    (
        {"quantize": {"input_remainder_bits": 3, "calibration": "minmax"}},
        ["input_remainder_bits", "one input channel", "nearest valid: 0"],
    ),
    ({"quantize": {"latent_copies": 9}}, ["quantize.latent_copies = 9", "nearest valid: 8"]),
    (
        {"quantize": {"latent_copies": 2, "calibration": "minmax"}},
        ["latent_copies = 2", "every latent once", "nearest valid: 1"],
    ),
    (
        {"quantize": {"latent_copies": 5}, "model": {"embedding_dim": 60}},
        ["latent_copies = 5", "more than 255", "nearest valid: 4"],
    ),
    ({"quantize": {"input_clip": 5}}, ["quantize.input_clip = 5", "nearest valid: 4"]),
    ({"data": {"split": {"train": 0.9}}}, ["data.split", "sum to 1.2"]),
    ({"data": {"sources": []}}, ["data.sources", "at least one"]),
    ({"data": {"sources": [{"type": "nzp"}]}}, ["data.sources.0", "npz"]),
    ({"data": {"sources": [{"type": "npz", "folder": "a", "dataset": "d", "fodler": 1}]}}, ["fodler", "folder"]),
    ({"firmware": {"symbol_prefix": "int"}}, ["firmware.symbol_prefix", "reserved", "int_codec"]),
    ({"firmware": {"symbol_prefix": "2ppg"}}, ["firmware.symbol_prefix", "nearest valid: ppg"]),
]


@pytest.mark.parametrize(("change", "words"), WRONG, ids=lambda value: str(value)[:40])
def test_wrong_config_is_one_line_naming_key_value_reason_and_choice(change: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config({"name": "x", **change}, "a.yaml")
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith("a.yaml: ")
    for word in words:
        assert word in line


def test_nearest_valid_values_are_valid() -> None:
    assert isinstance(parse_config({"name": "x", "signal": {"frame_samples": 320}}), Config)
    assert parse_config({"name": "x", "firmware": {"symbol_prefix": "int_codec"}}).firmware.symbol_prefix == "int_codec"


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"- a\n", "mapping"), (b"a: [1\n", "YAML"), (b"\xff\xfe\x00", "UTF-8"), (None, "cannot read")],
)
def test_unreadable_config_file(tmp_path: Path, content: bytes | None, word: str) -> None:
    path = tmp_path / "c.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=word) as caught:
        load_config(path)
    assert "\n" not in str(caught.value)


def test_own_configs_are_found_by_name_and_the_users_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for given in ("08x_ds8_l2", "08x_ds8_l2.yaml", "configs/08x_ds8_l2.yaml"):
        assert load_config(find_config(Path(given))).name == "08x_ds8_l2"
    (tmp_path / "08x_ds8_l2.yaml").write_text("name: mine\n")
    assert load_config(find_config(Path("08x_ds8_l2.yaml"))).name == "mine"
    for absent in ("elsewhere/08x_ds8_l2.yaml", "nothing.yaml"):
        with pytest.raises(ConfigError, match="cannot read config"):
            load_config(find_config(Path(absent)))
