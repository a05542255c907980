"""The server-side bundle: everything that turns a device's packets back into a signal, without the training code.

A folder of ``config.yaml``, ``codebook.npz``, ``decoder.npz``, ``decoder.json`` and ``bundle.json``. The last one names
the device build whose packets the bundle decodes and holds the SHA-256 of the other files, so that parts of two builds
cannot be mixed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.config import Config, dump_config, load_config
from kit.errors import ArtifactError, ShapeError
from kit.files import atomic_write_text, read_json, sha256_file, write_json
from kit.graph.codebook import IntegerCodebook
from kit.server.decoder_io import JSON_NAME, NPZ_NAME, load_decoder, save_decoder
from kit.server.executor import decode_indices
from kit.server.spec import DecoderSpec
from kit.wire.coding import CODING_FILE, CodingModel, load_coding
from kit.wire.packet import PacketLayout
from kit.wire.scale import lsb_bits, unit_codes

FORMAT = 1
"""Version of bundle.json; raised when an older kit could misread it."""

_CONFIG, _CODEBOOK, _BUNDLE = "config.yaml", "codebook.npz", "bundle.json"
_FILES = (_CONFIG, _CODEBOOK, JSON_NAME, NPZ_NAME)
_REBUILD = "rebuild with kit build-firmware"


def write_bundle(
    folder: str | Path,
    config: Config,
    codebook: IntegerCodebook,
    decoder: DecoderSpec,
    build_hash: str,
    label: str,
    coding: CodingModel | None = None,
) -> None:
    """Write a bundle; equal arguments give equal bytes.

    Args:
        folder: made if absent; files in it that belong to a bundle are replaced.
        config: resolved configuration of the build.
        codebook: the one the device searches.
        decoder: the decoder of its indices.
        build_hash: 16 hex digits of the device build.
        label: datasets the decoder was trained on, for example ``bidmc+stress_predict``.
        coding: what the device range-codes its indices with, where it does.

    Raises:
        ArtifactError: the parts do not fit each other, or the folder cannot be written.
    """
    folder = Path(folder)
    _check_hash(build_hash, "build hash")
    _check_parts(config, codebook, decoder, coding)
    atomic_write_text(folder / _CONFIG, dump_config(config))
    codebook.save(folder / _CODEBOOK)
    save_decoder(decoder, folder)
    if coding is not None:
        coding.save(folder / CODING_FILE)
    document = {
        "format": FORMAT,
        "build_hash": build_hash,
        "label": label,
        "decoder_parameters": decoder.parameters,
        "files": {name: sha256_file(folder / name) for name in _files(config)},
    }
    write_json(folder / _BUNDLE, document)


def _check_hash(value: Any, what: str) -> None:
    if not isinstance(value, str) or len(value) != 16 or set(value) - set("0123456789abcdef"):
        raise ArtifactError(f"{what} is {value!r}, not 16 lower-case hex digits", _REBUILD)


def _files(config: Config) -> tuple[str, ...]:
    """Files of a bundle besides ``bundle.json``."""
    return (*_FILES, CODING_FILE) if config.packet.coding == "range" else _FILES


def _check_parts(
    config: Config, codebook: IntegerCodebook, decoder: DecoderSpec, coding: CodingModel | None
) -> None:
    model = config.model
    if (coding is not None) != (config.packet.coding == "range"):
        raise ArtifactError(f"the coding model does not fit packet.coding, which is {config.packet.coding}", _REBUILD)
    if coding is not None:
        coding.expect(num_levels=model.num_levels, index_bits=model.index_bits)
    codebook.expect(num_levels=model.num_levels, num_entries=model.latent_width, dims=model.embedding_dim)
    decoder.validate()
    decoder.expect_indices(num_levels=model.num_levels, num_entries=model.latent_width)
    expected = (config.latent_positions, model.embedding_dim, config.signal.frame_samples)
    found = (decoder.positions, decoder.channels, decoder.samples)
    if found != expected:
        raise ArtifactError(
            f"decoder has (positions, channels, samples) {found}, the config asks for {expected}", _REBUILD
        )


@dataclass(frozen=True, slots=True)
class Bundle:
    """A loaded bundle.

    Attributes:
        config: of the build.
        codebook: searched by the device.
        decoder: checked layer list and weights, with a codebook of its own where it was trained with one.
        build_hash: 16 hex digits of the device build whose packets this decodes.
        label: datasets the decoder was trained on.
        coding: what indices are range-coded with; None where they have a fixed width.
    """

    config: Config
    codebook: IntegerCodebook
    decoder: DecoderSpec
    build_hash: str
    label: str
    coding: CodingModel | None = None

    @property
    def layout(self) -> PacketLayout:
        """Of the packets that it decodes."""
        return PacketLayout.from_config(self.config, self.coding)

    @classmethod
    def load(cls, folder: str | Path, build_hash: str | None = None) -> Bundle:
        """Read and check a bundle.

        Args:
            folder: written by :func:`write_bundle`.
            build_hash: what the device or capture says; None takes the bundle as it is.

        Raises:
            ArtifactError: missing, damaged, mixed, of another format, or of another build.
        """
        folder = Path(folder)
        document = read_json(folder / _BUNDLE)
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            found = document.get("format") if isinstance(document, dict) else None
            raise ArtifactError(f"{folder / _BUNDLE}: format is {found!r}, this kit reads {FORMAT}", _REBUILD)
        _check_hash(document.get("build_hash"), f"{folder / _BUNDLE}: build_hash")
        if build_hash is not None and document["build_hash"] != build_hash:
            raise ArtifactError(
                f"{folder} decodes build {document['build_hash']}, not build {build_hash}",
                "use the server/ folder of the run that made the device's firmware",
            )
        files = document.get("files")
        # The configuration, first of the files, says which others there are.
        for name in (*_FILES, *(name for name in (CODING_FILE,) if isinstance(files, dict) and name in files)):
            if not isinstance(files, dict) or name not in files:
                raise ArtifactError(f"{folder / _BUNDLE} does not list {name}", _REBUILD)
            if not (folder / name).is_file():
                raise ArtifactError(f"{folder} lacks {name}", _REBUILD)
            if sha256_file(folder / name) != files[name]:
                raise ArtifactError(f"{folder / name} changed since the bundle was written", _REBUILD)
        config = load_config(folder / _CONFIG)
        codebook, decoder = IntegerCodebook.load(folder / _CODEBOOK), load_decoder(folder)
        if not isinstance(files, dict) or any(name not in files for name in _files(config)):
            raise ArtifactError(f"{folder / _BUNDLE} does not list {CODING_FILE}", _REBUILD)
        coding = load_coding(config, folder)
        _check_parts(config, codebook, decoder, coding)
        return cls(config, codebook, decoder, document["build_hash"], str(document.get("label", "")), coding)

    def decode(
        self,
        indices: NDArray[Any],
        mean: NDArray[Any] | None = None,
        scale_code: NDArray[Any] | None = None,
        valid: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.float32]:
        """Signal of a sequence of packets (NUMERICS.md sections 2 and 4).

        The result of a frame depends on its own packet only, to the last bit, however many frames are passed.

        Args:
            indices: unsigned integers [n, P, M], below K.
            mean: integers [n], ADC codes; needed, with ``scale_code``, when packets carry side information.
            scale_code: uint8[n]; a frame of code 0 is flat and gives exactly its mean.
            valid: bool[n]; frames marked False (lost packets) give NaN and their other values are not looked at.

        Returns:
            float32[n, T] in ADC codes; without mean and scale in units of each frame's scale.

        Raises:
            ShapeError: an array of the wrong shape, dtype or range.
        """
        count = len(indices)
        good = self._check_valid(valid, count)
        self._check_indices(indices)
        self._check_side(mean, scale_code, count)
        frames = np.full((count, self.decoder.samples), np.nan, np.float32)
        chosen = indices[good]
        top = int(chosen.max()) if chosen.size else 0
        if top >= self.codebook.num_entries:
            raise ShapeError(f"index {top} is outside the codebook of {self.codebook.num_entries} entries")
        shape = decode_indices(self.decoder, self.codebook, chosen)
        if mean is None or scale_code is None:
            frames[good] = shape
            return frames
        unit = unit_codes(scale_code[good], lsb_bits(self.config.quantize.input_clip))
        frames[good] = mean[good, None] + unit[:, None] * shape
        return frames

    @staticmethod
    def _check_valid(valid: NDArray[np.bool_] | None, count: int) -> NDArray[np.bool_]:
        if valid is None:
            return np.ones(count, np.bool_)
        if valid.shape != (count,) or valid.dtype != np.bool_:
            raise ShapeError(f"valid is {valid.dtype}{list(valid.shape)}, not bool[{count}]")
        return valid

    def _check_indices(self, indices: NDArray[Any]) -> None:
        expected = (self.config.latent_positions, self.config.model.num_levels)
        if indices.ndim != 3 or indices.shape[1:] != expected or indices.dtype.kind != "u":
            raise ShapeError(
                f"indices are {indices.dtype}{list(indices.shape)}, not unsigned [n, {expected[0]}, {expected[1]}]"
            )

    def _check_side(self, mean: NDArray[Any] | None, scale_code: NDArray[Any] | None, count: int) -> None:
        if mean is None or scale_code is None:
            if mean is not scale_code or self.config.packet.side_information:
                raise ShapeError("mean and scale_code are both needed: packets of this build carry them")
            return
        if mean.shape != (count,) or mean.dtype.kind not in "iu":
            raise ShapeError(f"mean is {mean.dtype}{list(mean.shape)}, not integers [{count}]")
        if scale_code.shape != (count,) or scale_code.dtype != np.uint8:
            raise ShapeError(f"scale_code is {scale_code.dtype}{list(scale_code.shape)}, not uint8[{count}]")
