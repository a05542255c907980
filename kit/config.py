"""The configuration of a build: one YAML file, strictly checked.

Every key is known, typed and bounded here and nowhere else. :func:`load_config` turns a file into a frozen
:class:`Config` or raises one :class:`~kit.errors.ConfigError` line that names the key, the value, the reason and the
nearest valid choice.
"""

from __future__ import annotations

import difflib
import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from kit.errors import ConfigError

Norm = Literal["batch", "layer", "none"]

KERNEL = 7
"""Taps of every convolution of the staged encoder but the 1x1 ones (SEED: kernel 7, stride 2), and of the decoders'."""
DENSE_STAGES = 2
"""Leading stages of the staged encoder with a dense convolution; the later ones are depthwise separable (SEED)."""

_DECODER_KEYS = frozenset({"decoder", "decoder_width", "decoder_blocks"})
"""Keys of the model section that no device knows of: they choose the server's decoder."""

_LAPPED_KEYS = frozenset({"encoder", "encoder_taps", "encoder_filters"})

_C_WORDS = """
auto break case char const continue default do double else enum extern float for goto if inline int long register
restrict return short signed sizeof static struct switch typedef union unsigned void volatile while
and bool class compl delete false friend namespace new not operator or private protected public template this throw
true try using virtual xor main kit
"""
C_RESERVED = frozenset(_C_WORDS.split())
"""Words that cannot be a C or C++ symbol prefix; ``kit`` is the prefix of the hand-written runtime."""

INDEX_BITS_MAX = 12
"""Most bits of an index: codebooks have up to 4096 entries a level."""

LATENT_CHANNELS_MAX = 255
"""Most channels of the device's encoder: the runtime counts them in a byte."""


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, types are not coerced, values do not change."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _nearest(value: float, choices: list[int]) -> int:
    return min(choices, key=lambda c: (abs(c - value), c))


def _power_of_two(key: str, value: int, low: int, high: int) -> int:
    choices = [1 << i for i in range(low.bit_length() - 1, high.bit_length())]
    if value not in choices:
        raise ValueError(f"must be a power of two in {low}..{high}; nearest valid: {_nearest(value, choices)}")
    return value


class SignalConfig(Section):
    """What the sensor delivers and how much of it makes a frame."""

    kind: Literal["ppg", "ecg"] = "ppg"
    sample_rate_hz: Annotated[int, Field(ge=1, le=4000)] = 64
    frame_samples: Annotated[int, Field(ge=16, le=4096)] = 320
    sample_bits: Annotated[int, Field(ge=8, le=24)] = 16

    @property
    def container_bits(self) -> int:
        """Width of the C type that holds a sample: 16 or 32."""
        return 16 if self.sample_bits <= 16 else 32

    @property
    def frame_seconds(self) -> float:
        """Duration of a frame in seconds."""
        return self.frame_samples / self.sample_rate_hz


class ModelConfig(Section):
    """The RVQ autoencoder; the keys and defaults are those of its description."""

    embedding_dim: Annotated[int, Field(ge=1, le=64)] = 16
    latent_width: int = 256
    num_levels: Annotated[int, Field(ge=1, le=8)] = 2
    num_stages: Annotated[int, Field(ge=1, le=6)] = 3
    base_filters: Annotated[int, Field(ge=1, le=256)] = 32
    multiplier: Annotated[float, Field(ge=1.0, le=4.0)] = 1.25
    beta: Annotated[float, Field(ge=0.0, le=10.0)] = 0.25
    encoder_block_norm: Norm = "batch"
    encoder_head_norm: Norm = "none"
    decoder_block_norm: Norm = "none"
    decoder_head_norm: Norm = "layer"
    encoder: Literal["staged", "lapped"] = "staged"
    """``staged`` is that of the description; ``lapped`` is one convolution over many samples with the whole stride."""
    encoder_taps: Annotated[int, Field(ge=1, le=255)] = 63
    """Samples that the lapped encoder's convolution sees."""
    encoder_filters: Annotated[int, Field(ge=0, le=512)] = 0
    """Rectified channels between that convolution and the head; 0: none, the convolution itself gives the latents."""
    decoder: Literal["mirror", "wide"] = "mirror"
    """``mirror`` is that of the description; ``wide`` is larger and works at the latents' rate."""
    decoder_width: Annotated[int, Field(ge=8, le=512)] = 128
    """Channels of the wide decoder."""
    decoder_blocks: Annotated[int, Field(ge=1, le=16)] = 5
    """Residual blocks of the wide decoder."""

    @field_validator("latent_width")
    @classmethod
    def _latent_width(cls, value: int) -> int:
        return _power_of_two("latent_width", value, 2, 1 << INDEX_BITS_MAX)

    @property
    def keys_off_device(self) -> frozenset[str]:
        """Keys that no hash of a device's build counts: the decoder's, and those of the encoder that is not chosen
        where they came later than the first builds, whose hashes stay."""
        return _DECODER_KEYS | (_LAPPED_KEYS if self.encoder == "staged" else frozenset())

    @property
    def index_bits(self) -> int:
        """Bits of one index: log2(latent_width)."""
        return self.latent_width.bit_length() - 1

    @property
    def downsampling(self) -> int:
        """Samples per latent position: 2 ** num_stages."""
        return 1 << self.num_stages

    @property
    def stage_filters(self) -> tuple[int, ...]:
        """Output channels of each encoder stage: floor(base_filters * multiplier ** stage)."""
        return tuple(math.floor(self.base_filters * self.multiplier**i) for i in range(self.num_stages))


class NpzSource(Section):
    """A folder of .npz recordings, optionally with a ``manifest.csv`` (file, subject, split) beside or above it."""

    type: Literal["npz"]
    folder: str
    dataset: str
    weight: Annotated[float, Field(gt=0.0)] = 1.0


class CsvSource(Section):
    """CSV files matching ``files`` below the data root; one subject per match of ``subject_pattern``."""

    type: Literal["csv"]
    files: str
    column: str
    sample_rate_hz: Annotated[float, Field(gt=0.0)]
    dataset: str
    scale: Annotated[float, Field(gt=0.0)] = 1.0
    """ADC codes per unit of the column: samples are round(value * scale)."""
    subject_pattern: str = r"(.+)\.csv$"
    weight: Annotated[float, Field(gt=0.0)] = 1.0


class DemoSource(Section):
    """The recordings carried by the ``demo`` extra (a PyPI package); nothing is copied from it."""

    type: Literal["demo"]
    weight: Annotated[float, Field(gt=0.0)] = 1.0


class SyntheticSource(Section):
    """Generated PPG, labelled synthetic in every output; see kit/data/synthetic.py."""

    type: Literal["synthetic"]
    subjects: Annotated[int, Field(ge=3, le=10000)] = 12
    seconds_per_subject: Annotated[int, Field(ge=5, le=86400)] = 120
    seed: Annotated[int, Field(ge=0)] = 1
    weight: Annotated[float, Field(gt=0.0)] = 1.0


Source = Annotated[NpzSource | CsvSource | DemoSource | SyntheticSource, Field(discriminator="type")]


class SplitConfig(Section):
    """Seeded split by subject, for sources whose manifest does not fix one."""

    train: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.7
    val: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.15
    test: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.15
    seed: Annotated[int, Field(ge=0)] = 1

    @model_validator(mode="after")
    def _sums_to_one(self) -> SplitConfig:
        total = self.train + self.val + self.test
        if abs(total - 1.0) > 1e-9:
            raise ValueError(f"train + val + test must be 1, they sum to {total:g}; nearest valid: 0.7, 0.15, 0.15")
        return self


class GateConfig(Section):
    """Quality gates of the windows used in training; test frames are only gated where flat or non-finite."""

    flat_std_codes: Annotated[float, Field(ge=0.0)] = 1e-3
    railed_fraction_max: Annotated[float, Field(ge=0.0, le=1.0)] = 0.2


class DataConfig(Section):
    """Where recordings come from and how they become frames."""

    root: str | None = None
    sources: tuple[Source, ...] = (SyntheticSource(type="synthetic"),)
    split: SplitConfig = SplitConfig()
    gates: GateConfig = GateConfig()
    mode: Literal["memory", "streaming", "tfrecord"] = "memory"

    @field_validator("sources", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("sources")
    @classmethod
    def _not_empty(cls, value: tuple[Source, ...]) -> tuple[Source, ...]:
        if not value:
            raise ValueError("needs at least one source; nearest valid: [{type: synthetic}]")
        return value


class AugmentConfig(Section):
    """Augmentation of training windows, each off at 0; amplitudes in units of the window's standard deviation."""

    time_warp: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    """Largest relative change of the pulse rate: resampling by a factor in 1 - time_warp .. 1 + time_warp."""
    beat_scale: Annotated[float, Field(ge=0.0, le=0.9)] = 0.0
    """Largest depth of a slow modulation of the pulse height."""
    baseline_wander: Annotated[float, Field(ge=0.0, le=10.0)] = 0.0
    """Largest amplitude of a low-frequency drift."""
    motion: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Probability that a window holds a burst of band-limited noise."""
    motion_height: Annotated[float, Field(gt=0.0, le=10.0)] = 1.0
    """Largest standard deviation of such a burst."""

    @property
    def active(self) -> bool:
        """Whether any is on."""
        return any((self.time_warp, self.beat_scale, self.baseline_wander, self.motion))


class PreprocessConfig(Section):
    """Training-time preprocessing; the per-frame normalisation itself is firmware/NUMERICS.md section 2."""

    random_crop: bool = True
    noise_std: Annotated[float, Field(ge=0.0, le=1.0)] = 0.01
    """Standard deviation of Gaussian noise added to normalised training frames (1 = the frame's own deviation)."""
    rounded_input: bool = False
    """Train the encoder on frames as the device rounds them (``quantize.input_clip``, ``quantize.input_shaping``)."""
    augment: AugmentConfig = AugmentConfig()


class TrainConfig(Section):
    """Float training of the autoencoder."""

    batch_size: Annotated[int, Field(ge=1, le=4096)] = 64
    epochs: Annotated[int, Field(ge=1, le=100000)] = 30
    steps_per_epoch: Annotated[int, Field(ge=1, le=1000000)] = 400
    learning_rate: Annotated[float, Field(gt=0.0, le=1.0)] = 6e-3
    final_learning_rate: Annotated[float, Field(gt=0.0, le=1.0)] = 2e-5
    early_stopping_epochs: Annotated[int, Field(ge=1)] = 10
    seed: Annotated[int, Field(ge=0)] = 1
    codebook: Literal["gradient", "ema"] = "gradient"
    """How codebooks learn: by the gradient of their loss, or as moving averages of the latents they stand for."""
    ema_decay: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.99
    """What a step leaves of the moving averages: of ``codebook: ema`` and of the usage behind prices."""
    beam: Annotated[int, Field(ge=1, le=8)] = 1
    """M-best search in training, as ``quantize.beam`` on the device."""
    level_dropout: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Probability that a training frame passes through its first m < M levels only, m uniform in 1 .. M - 1."""
    rate_weight: Annotated[float, Field(ge=0.0, le=10.0)] = 0.0
    """Price of one bit of an index, in mean distortions of its level (with a beam, of the last level): the choice
    minimises distortion plus price."""
    rate_bits: Annotated[float, Field(gt=0.0, le=8.0 * INDEX_BITS_MAX)] | None = None
    """Bits that a position's indices shall take, all levels together, by the entropy of each level: the price of a bit
    is steered there, in the place of ``rate_weight``. Contexts take further bits off (``packet.coding: range``)."""


class QuantizeConfig(Section):
    """Float encoder and codebooks to integers."""

    calibration: Literal["error", "minmax"] = "error"
    """How ranges are chosen: by the error that reaches the latents, or by the largest values (the converter)."""
    calibration_frames: Annotated[int, Field(ge=8, le=100000)] = 1024
    input_clip: int = 4
    """The INT8 input spans -input_clip .. input_clip units of the frame's scale: 128 / input_clip LSB per unit."""
    input_shaping: Literal["none", "first"] = "none"
    """Rounding error of an INT8 input sample: lost, or carried into the next sample, where the encoder filters it."""
    input_remainder_bits: Annotated[int, Field(ge=0, le=4)] = 0
    """A second channel of the INT8 input: what the sample's rounding leaves, with so many fractional bits; 0: none."""
    codebook_bits: Literal[8, 16] = 8
    beam: Annotated[int, Field(ge=1, le=8)] = 1
    """M-best search: choices of entries that a level leaves to the next; 1: the nearest entry alone."""
    latent_metric: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5
    """How far distances of latents become those of reconstructions (kit/quantize/metric.py): 0 not at all, 1 wholly."""
    latent_copies: Annotated[int, Field(ge=1, le=8)] = 1
    """INT8 values that the encoder gives for every value of a latent, each rounded at another place of a step."""
    finetune_steps: Annotated[int, Field(ge=0, le=1000000)] = 1000
    """Steps of quantization-aware fine-tuning of encoder, codebooks and decoder; 0: none."""
    finetune_learning_rate: Annotated[float, Field(gt=0.0, le=1.0)] = 5e-4
    """Peak learning rate of the fine-tuning; its batches are those of training (``train.batch_size``)."""
    codebook_rounds: Annotated[int, Field(ge=0, le=1000)] = 8
    """Rounds of refitting the codebooks to INT8 latents; 0: none."""
    rate_weight: Annotated[float, Field(ge=0.0, le=10.0)] | None = None
    """Price of a bit on the device, where it is not that of training (``train.rate_weight``): trims the payload."""
    rate_bits: Annotated[float, Field(gt=0.0, le=8.0 * INDEX_BITS_MAX)] | None = None
    """Bits of a position's indices on the device, where they are not those of training (``train.rate_bits``)."""
    refit_steps: Annotated[int, Field(ge=0, le=1000000)] = 2000
    """Steps of the decoder's refit on the indices of the device; 0: none."""
    refit_codebook: bool = True
    """Refit, with the decoder, what each index stands for on the server; the device's entries stay as they are."""

    @field_validator("input_clip")
    @classmethod
    def _input_clip(cls, value: int) -> int:
        return _power_of_two("input_clip", value, 2, 16)

    @property
    def input_channels(self) -> int:
        """Channels of the encoder's INT8 input: the sample, and its remainder where there is one."""
        return 2 if self.input_remainder_bits else 1


class PacketConfig(Section):
    """What one frame becomes on the wire."""

    side_information: bool = True
    """Send the frame's mean and scale, so that the decoder restores original units."""
    frames_per_packet: Annotated[int, Field(ge=1, le=16)] = 1
    """Frames that share one header and check value: fewer bytes, but the first of them waits for the last."""
    coding: Literal["fixed", "range"] = "fixed"
    """Indices in B bits each, or range-coded: fewer bytes, of a number that varies from frame to frame."""
    context: Literal["classes", "network"] = "classes"
    """What predicts the next index of the first level, where they are range-coded: classes of the two before it, or a
    recurrent network that remembers of all before it what tells about the next."""

    @model_validator(mode="after")
    def _context(self) -> PacketConfig:
        if self.context == "network" and self.coding == "fixed":
            raise ValueError("context: network predicts range-coded indices only; nearest valid: coding: range")
        return self


class FirmwareConfig(Section):
    """How the device code is rendered."""

    engine: Literal["aot", "tflm"] = "aot"
    arena_bytes: Literal["auto"] | Annotated[int, Field(ge=1024, le=1 << 24, multiple_of=16)] = "auto"
    """Tensor arena of the tflm engine: measured, or fixed by the user."""
    symbol_prefix: str = "ppg"
    embedded_frames: Annotated[int, Field(ge=1, le=64)] = 8
    """Frames carried in the firmware for the self-test and the replay stream."""
    ring_margin_samples: Annotated[int, Field(ge=1, le=4096)] = 32
    """Samples that may arrive while a finished frame waits for its first encoder step."""

    @field_validator("symbol_prefix")
    @classmethod
    def _symbol_prefix(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", value) or value in C_RESERVED or value.startswith("kit_"):
            clean = re.sub(r"[^a-z0-9_]", "_", value.lower()).lstrip("_0123456789")[:28] or "ppg"
            clean = f"{clean}_codec" if clean in C_RESERVED or clean.startswith("kit_") else clean
            raise ValueError(f"must be a lower-case C identifier that is no reserved word; nearest valid: {clean}")
        return value


class Config(Section):
    """A whole build."""

    name: str
    signal: SignalConfig = SignalConfig()
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    preprocess: PreprocessConfig = PreprocessConfig()
    train: TrainConfig = TrainConfig()
    quantize: QuantizeConfig = QuantizeConfig()
    packet: PacketConfig = PacketConfig()
    firmware: FirmwareConfig = FirmwareConfig()

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", value):
            clean = re.sub(r"[^A-Za-z0-9_.-]", "_", value).lstrip("_.-")[:64] or "build"
            raise ValueError(f"must be letters, digits, '_', '-' or '.'; nearest valid: {clean}")
        return value

    @model_validator(mode="after")
    def _frame_divides(self) -> Config:
        step = self.model.downsampling
        samples = self.signal.frame_samples
        if samples % step:
            below, above = samples // step * step, (samples // step + 1) * step
            nearest = above if below < 16 or above - samples < samples - below else below
            raise ValueError(
                f"signal.frame_samples = {samples}: must be divisible by 2^num_stages = {step}; "
                f"nearest valid: {nearest}"
            )
        if samples // step < 2:
            raise ValueError(
                f"model.num_stages = {self.model.num_stages}: leaves fewer than 2 latent positions of "
                f"{samples} samples; nearest valid: {max(1, (samples // 2).bit_length() - 1)}"
            )
        return self

    @model_validator(mode="after")
    def _sees_every_sample(self) -> Config:
        taps, stride = self.model.encoder_taps, self.model.downsampling
        if self.model.encoder == "lapped" and taps < stride:
            raise ValueError(
                f"model.encoder_taps = {taps}: the lapped encoder would skip samples, its stride is 2^num_stages = "
                f"{stride}; nearest valid: {stride}"
            )
        return self

    @model_validator(mode="after")
    def _levels_to_search(self) -> Config:
        for key, beam in (("train", self.train.beam), ("quantize", self.quantize.beam)):
            if beam > 1 and self.model.num_levels < 2:
                raise ValueError(f"{key}.beam = {beam}: of one level the nearest entry is the best; nearest valid: 1")
        return self

    @model_validator(mode="after")
    def _levels_to_drop(self) -> Config:
        if self.train.level_dropout > 0.0 and self.model.num_levels < 2:
            raise ValueError("train.level_dropout: there is no level to drop at model.num_levels = 1; nearest valid: 0")
        return self

    @model_validator(mode="after")
    def _one_rate(self) -> Config:
        train, device, most = self.train, self.quantize, self.model.num_levels * self.model.index_bits
        if train.rate_bits is not None and (train.rate_weight or device.rate_weight is not None):
            raise ValueError("train.rate_bits steers what rate_weight would set; nearest valid: no rate_weight")
        if device.rate_bits is not None and train.rate_bits is None:
            raise ValueError("quantize.rate_bits trims train.rate_bits, which is not given; nearest valid: rate_weight")
        for key, bits in (("train", train.rate_bits), ("quantize", device.rate_bits)):
            if bits is not None and bits > most:
                raise ValueError(f"{key}.rate_bits = {bits} for indices of {most} bits; nearest valid: {most}")
        return self

    @model_validator(mode="after")
    def _plain_where_converted(self) -> Config:
        bits, copies, calibration = (
            self.quantize.input_remainder_bits, self.quantize.latent_copies, self.quantize.calibration,
        )  # fmt: skip
        if bits and calibration != "error":
            known = f"calibration {calibration} knows one input channel"
            raise ValueError(f"quantize.input_remainder_bits = {bits}: {known}; nearest valid: 0")
        if copies > 1 and calibration != "error":
            known = f"calibration {calibration} gives every latent once"
            raise ValueError(f"quantize.latent_copies = {copies}: {known}; nearest valid: 1")
        return self

    @model_validator(mode="after")
    def _latent_channels(self) -> Config:
        dims, copies = self.model.embedding_dim, self.quantize.latent_copies
        if dims * copies > LATENT_CHANNELS_MAX:
            raise ValueError(
                f"quantize.latent_copies = {copies}: {copies} copies of {dims} channels are more than "
                f"{LATENT_CHANNELS_MAX}; nearest valid: {LATENT_CHANNELS_MAX // dims}"
            )
        return self

    @property
    def latent_positions(self) -> int:
        """Latent positions per frame: T / 2^N."""
        return self.signal.frame_samples // self.model.downsampling

    @property
    def latent_channels(self) -> int:
        """INT8 channels of the device's encoder: ``embedding_dim`` values of a latent, each ``latent_copies`` times."""
        return self.model.embedding_dim * self.quantize.latent_copies

    @property
    def training_input(self) -> dict[str, Any]:
        """What of the quantize section shapes a training: the input's clip, and how it is rounded where it is."""
        settings, rounding = self.quantize, dict[str, Any]()
        if self.preprocess.rounded_input:
            rounding["input_shaping"] = settings.input_shaping
            if settings.input_remainder_bits:
                rounding["input_remainder_bits"] = settings.input_remainder_bits
        return {"input_clip": settings.input_clip, **rounding}

    @property
    def device_rate_weight(self) -> float:
        """Price of a bit in the device's choice of entries, as ``train.rate_weight``."""
        if self.train.rate_bits is not None:
            return 0.0
        return self.train.rate_weight if self.quantize.rate_weight is None else self.quantize.rate_weight

    @property
    def device_rate_bits(self) -> float | None:
        """Bits that the device's choice of entries is steered to, as ``train.rate_bits``; None where it is not."""
        return self.train.rate_bits if self.quantize.rate_bits is None else self.quantize.rate_bits

    @property
    def compression_ratio(self) -> float:
        """Ratio by the description's formula: T * B / (positions * M * log2 K)."""
        raw = self.signal.frame_samples * self.signal.sample_bits
        return raw / (self.latent_positions * self.model.num_levels * self.model.index_bits)


def _known_keys(location: tuple[Any, ...]) -> list[str]:
    """Names of the keys that are valid beside the last element of ``location``."""
    node: Any = Config
    for part in location[:-1]:
        if isinstance(part, int):
            continue
        if isinstance(part, str) and part in _SOURCES:
            node = _SOURCES[part]
            continue
        field = node.model_fields.get(part) if hasattr(node, "model_fields") else None
        if field is None:
            return []
        node = field.annotation
    return list(node.model_fields) if hasattr(node, "model_fields") else []


_SOURCES: dict[str, type[Section]] = {
    "npz": NpzSource,
    "csv": CsvSource,
    "demo": DemoSource,
    "synthetic": SyntheticSource,
}


def _describe(error: Any) -> str:
    """One pydantic error as ``key = value: reason``."""
    location = tuple(error["loc"])
    key = ".".join(str(part) for part in location if part not in _SOURCES)
    value, kind = error.get("input"), error["type"]
    if kind == "extra_forbidden":
        known = _known_keys(location)
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.0)
        return f"{key} = {value!r}: unknown key" + (f"; nearest known key: {near[0]}" if near else "")
    if kind == "missing":
        return f"{key}: required key is missing"
    message = error["msg"].removeprefix("Value error, ")
    if not key:
        return str(message)
    context = error.get("ctx") or {}
    hint = ""
    if kind in {"greater_than_equal", "less_than_equal", "greater_than", "less_than"}:
        bound = context.get("ge", context.get("le", context.get("gt", context.get("lt"))))
        inclusive = kind.endswith("equal")
        hint = f"; nearest valid: {bound}" if inclusive else f"; nearest valid: beyond {bound}"
    elif kind == "literal_error":
        choices = [c.strip(" '\"") for c in re.split(r",| or ", str(context.get("expected", ""))) if c.strip()]
        near = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.0)
        hint = f"; nearest valid: {near[0]}" if near else ""
    return f"{key} = {value!r}: {message[:1].lower()}{message[1:]}{hint}"


def parse_config(raw: object, origin: str = "config") -> Config:
    """Checked configuration from parsed YAML.

    Args:
        raw: the mapping that ``yaml.safe_load`` returned.
        origin: file name used in messages.

    Raises:
        ConfigError: first problem, with key, value, reason and nearest valid choice.
    """
    if not isinstance(raw, dict):
        raise ConfigError(f"{origin}: is not a mapping of sections", "start from one of configs/*.yaml")
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        problems = error.errors()
        unknown = [p for p in problems if p["type"] == "extra_forbidden"]
        first = (unknown or problems)[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ConfigError(f"{origin}: {_describe(first)}{more}") from None


def load_config(path: str | Path) -> Config:
    """Read and check a YAML configuration.

    Raises:
        ConfigError: file missing, not YAML, or not a valid configuration.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read config {path}: {error.strerror}", "give an existing YAML file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"config {path} is not UTF-8 text", "give a YAML file") from None
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}: not valid YAML{where}: {getattr(error, 'problem', error)}") from None
    return parse_config(raw, str(path))


def with_engine(config: Config, engine: str | None) -> Config:
    """The configuration with another ``firmware.engine``; itself for None.

    Raises:
        ConfigError: no such engine.
    """
    if engine is None:
        return config
    raw = config.model_dump(mode="json")
    raw["firmware"]["engine"] = engine
    return parse_config(raw, "--engine")


def dump_config(config: Config) -> str:
    """The resolved configuration as YAML, keys in schema order, every default written out."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
