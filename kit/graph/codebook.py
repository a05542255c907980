"""The integer RVQ codebook: what the device searches, with the proof that its distances fit (NUMERICS.md section 4)."""

from __future__ import annotations

import builtins
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import ArtifactError
from kit.files import read_npz, write_npz

FRAC_BITS_MAX = 8
"""Largest F: fractional bits of a residual."""

ENTRY_SHIFT_MAX = 15
"""Largest E: left shift of a level's entries."""

RESIDUAL_MAX = (1 << 15) - 1
"""Residuals and shifted entries are int16 on the device."""

DISTANCE_MAX = (1 << 31) - 1
"""Squared distances are accumulated in int32 on the device."""

COPIES_MAX = 8
"""Most INT8 values that a latent is the sum of."""

BEAM_MAX = 8
"""Most choices of entries that a level leaves to the next (``KIT_RVQ_BEAM_MAX``)."""

_REBUILD = "rebuild with kit build-firmware"


@dataclass(frozen=True, slots=True)
class SearchBounds:
    """Worst cases of the search over every possible latent and every choice of entries (NUMERICS.md section 4.3).

    Attributes:
        residual: largest residual magnitude at the start of each level, M values.
        entry: largest magnitude of a shifted entry per level, M values.
        distance: largest squared distance per level, M values; in an M-best search with what was paid before.
    """

    residual: tuple[int, ...]
    entry: tuple[int, ...]
    distance: tuple[int, ...]

    @property
    def fits(self) -> bool:
        """Every residual and entry fits int16 and every distance, with what was paid before, int32."""
        return max(self.residual + self.entry) <= RESIDUAL_MAX and max(self.distance) <= DISTANCE_MAX


def search_bounds(
    integer: NDArray[Any],
    entry_shift: NDArray[Any],
    residual_frac_bits: int,
    latent_zero_point: int,
    price_dims: int = 0,
    beam: int = 1,
    copies: int = 1,
) -> SearchBounds:
    """Worst-case residuals and distances of a codebook.

    Residual dimension d starts within ``R_d = copies * max(127 - zp, 128 + zp) << F`` and grows by
    ``C_d = max_k |e[k][d]| << E`` per level; a distance is at most the sum over d of ``(R_d + C_d)^2``. In a price
    coordinate the residual is 0 at every level.

    Args:
        integer: int8 or int16 [M, K, D + price_dims], entries.
        entry_shift: int [M], left shift E of each level.
        residual_frac_bits: F, fractional bits of the residual.
        latent_zero_point: zero point of the latents.
        price_dims: 1 where the last coordinate is a price, else 0.
        beam: choices that a level leaves to the next; above 1, prices of the levels before add to a distance.
        copies: C, INT8 values that a latent is the sum of.
    """
    start = copies * max(127 - latent_zero_point, 128 + latent_zero_point) << residual_frac_bits
    dims = integer.shape[2] - price_dims
    reach = [start] * dims
    residual, entry, distance = [], [], []
    paid = 0
    for level in range(integer.shape[0]):
        peaks = np.abs(integer[level].astype(np.int64)).max(axis=0)
        shifted = [int(peak) << int(entry_shift[level]) for peak in peaks]
        residual.append(max(reach))
        entry.append(max(shifted))
        reach = [r + c for r, c in zip(reach, shifted[:dims], strict=True)]
        distance.append(paid + sum(r * r for r in reach + shifted[dims:]))
        if beam > 1:
            paid += sum(c * c for c in shifted[dims:])
    return SearchBounds(tuple(residual), tuple(entry), tuple(distance))


@dataclass(frozen=True, slots=True, eq=False)
class IntegerCodebook:
    """RVQ codebook of M levels, K entries and D dimensions, in integers and in the floats they came from.

    Entries with prices have a further coordinate, the square root of the price (NUMERICS.md section 4.7).

    Attributes:
        integer: int8[M, K, D + price_dims] with shifts, or int16 of this shape with every shift 0; K a power of two.
        entry_shift: int32[M], E per level, 0..15: an entry stands for ``integer << E``.
        residual_frac_bits: F, 0..8: one LSB of the encoder's output is ``1 << F`` residual units.
        latent_scale: real value of that LSB in a latent of one copy (float32 value), the encoder's output scale.
        latent_zero_point: the encoder's output zero point.
        float: float32[M, K, D], the trained entries in real latent units.
        price_dims: 1 where entries have prices, else 0.
        beam: choices of entries that the search lets a level leave to the next, 1..8; 1: the nearest entry alone.
        copies: C, 1..8: the encoder gives C values for every one of the D of a latent, which is their mean; the search
            works on their sum (NUMERICS.md section 4.1).

    Raises:
        ArtifactError: a shape, dtype or range is not as above, or a residual may leave int16 or a distance int32.
    """

    integer: NDArray[Any]
    entry_shift: NDArray[np.int32]
    residual_frac_bits: int
    latent_scale: builtins.float
    latent_zero_point: int
    float: NDArray[np.float32]
    price_dims: int = 0
    beam: int = 1
    copies: int = 1

    def __post_init__(self) -> None:
        self._check_arrays()
        self._check_scalars()
        bounds = self.distance_bound()
        if not bounds.fits:
            raise ArtifactError(
                f"codebook overflows: residuals up to {max(bounds.residual)}, entries up to {max(bounds.entry)} "
                f"(at most {RESIDUAL_MAX}), distances up to {max(bounds.distance)} (at most {DISTANCE_MAX})",
                "requantize it with fewer residual_frac_bits",
            )

    def _check_arrays(self) -> None:
        integer, shift = self.integer, self.entry_shift
        if integer.ndim != 3 or 0 in integer.shape:
            raise ArtifactError(f"codebook entries have shape {list(integer.shape)}, expected [levels, K, D]", _REBUILD)
        if integer.dtype not in (np.int8, np.int16):
            raise ArtifactError(f"codebook entries are {integer.dtype}, expected int8 or int16", _REBUILD)
        levels, entries, _ = integer.shape
        if entries < 2 or entries & (entries - 1):
            raise ArtifactError(f"codebook has K = {entries} entries, expected a power of two from 2", _REBUILD)
        if shift.shape != (levels,) or shift.dtype != np.int32:
            raise ArtifactError(
                f"codebook entry_shift is {shift.dtype}{list(shift.shape)}, expected int32[{levels}]", _REBUILD
            )
        self._check_prices()
        expected = (levels, entries, self.dims)
        if self.float.shape != expected or self.float.dtype != np.float32:
            raise ArtifactError(
                f"codebook floats are {self.float.dtype}{list(self.float.shape)}, expected float32{list(expected)}",
                _REBUILD,
            )
        if not np.isfinite(self.float).all():
            raise ArtifactError("codebook floats are not all finite", "train again with a lower learning rate")

    def _check_prices(self) -> None:
        coordinates = self.integer.shape[2]
        if self.price_dims not in (0, 1) or self.price_dims >= coordinates:
            raise ArtifactError(
                f"codebook of {coordinates} coordinates has price_dims {self.price_dims}, "
                "expected 0 or 1, and fewer than there are coordinates",
                _REBUILD,
            )
        if self.integer[..., self.dims :].min(initial=0) < 0:
            raise ArtifactError("codebook has an entry with the root of its price below 0", _REBUILD)

    def _check_scalars(self) -> None:
        shift = self.entry_shift
        if not 1 <= self.beam <= BEAM_MAX:
            raise ArtifactError(f"codebook beam is {self.beam}, expected 1..{BEAM_MAX}", _REBUILD)
        if not 1 <= self.copies <= COPIES_MAX:
            raise ArtifactError(f"codebook copies is {self.copies}, expected 1..{COPIES_MAX}", _REBUILD)
        top = 0 if self.integer.dtype == np.int16 else ENTRY_SHIFT_MAX
        if shift.min() < 0 or shift.max() > top:
            raise ArtifactError(
                f"codebook entry_shift is {shift.tolist()}, expected 0..{top} for {self.integer.dtype} entries",
                _REBUILD,
            )
        if not 0 <= self.residual_frac_bits <= FRAC_BITS_MAX:
            raise ArtifactError(
                f"codebook residual_frac_bits is {self.residual_frac_bits}, expected 0..{FRAC_BITS_MAX}", _REBUILD
            )
        if not -128 <= self.latent_zero_point <= 127:
            raise ArtifactError(f"codebook latent_zero_point is {self.latent_zero_point}, expected -128..127", _REBUILD)
        if not (np.isfinite(self.latent_scale) and self.latent_scale > 0):
            raise ArtifactError(f"codebook latent_scale is {self.latent_scale}, expected a positive number", _REBUILD)

    @property
    def num_levels(self) -> int:
        """M."""
        return int(self.integer.shape[0])

    @property
    def num_entries(self) -> int:
        """K."""
        return int(self.integer.shape[1])

    @property
    def dims(self) -> int:
        """D, without the price coordinate."""
        return int(self.integer.shape[2]) - self.price_dims

    def price(self) -> NDArray[np.float32]:
        """What the search adds to the squared distance of an entry, float32[M, K] in squared real latent units."""
        roots = self.shifted()[:, :, self.dims :] * self._step
        return np.asarray(np.square(roots).sum(axis=2), np.float32)

    @property
    def index_bits(self) -> int:
        """B = log2 K."""
        return self.num_entries.bit_length() - 1

    def distance_bound(self) -> SearchBounds:
        """Worst-case residuals and distances, computed from the entries (NUMERICS.md section 4.3)."""
        return search_bounds(
            self.integer, self.entry_shift, self.residual_frac_bits, self.latent_zero_point, self.price_dims, self.beam,
            self.copies,
        )  # fmt: skip

    def shifted(self) -> NDArray[np.int32]:
        """Entries in residual units, ``integer << E``: int32[M, K, D + price_dims]."""
        return self.integer.astype(np.int32) << self.entry_shift[:, None, None]

    def reordered(self, order: NDArray[Any]) -> IntegerCodebook:
        """The same entries in another order: place k of a level holds what was entry ``order[level][k]``.

        Args:
            order: int[M, K], a permutation for each level.
        """
        at = order[:, :, None]
        return replace(
            self,
            integer=np.take_along_axis(self.integer, at, axis=1),
            float=np.take_along_axis(self.float, at, axis=1),
        )

    @property
    def latent_channels(self) -> int:
        """C * D, channels of the encoder's output."""
        return self.copies * self.dims

    def summed(self, latents: NDArray[np.int8]) -> NDArray[np.int32]:
        """Sum of a latent's copies less their zero points: int8[..., C * D] -> int32[..., D] (NUMERICS.md 4.1)."""
        copies = latents.reshape(*latents.shape[:-1], self.copies, self.dims)
        total: NDArray[np.int32] = copies.sum(axis=-2, dtype=np.int32)
        return total - self.copies * self.latent_zero_point

    def real(self, latents: NDArray[np.int8]) -> NDArray[np.float32]:
        """Real latents of the encoder's output, the mean of their copies: int8[..., C * D] -> float32[..., D]."""
        return self.summed(latents).astype(np.float32) * np.float32(self.latent_scale / self.copies)

    def expect(self, *, num_levels: int, num_entries: int, dims: int) -> None:
        """Check against what a configuration or an encoder needs.

        Raises:
            ArtifactError: another shape; names both.
        """
        found, expected = (self.num_levels, self.num_entries, self.dims), (num_levels, num_entries, dims)
        if found != expected:
            raise ArtifactError(
                f"codebook has shape {list(found)}, expected {list(expected)} [levels, K, D]",
                "use the codebook of the same configuration, or rebuild with kit build-firmware",
            )

    def dequantize(self, indices: NDArray[Any]) -> NDArray[np.float32]:
        """Latents that the indices stand for (NUMERICS.md section 4.4).

        Args:
            indices: unsigned [n, P, M], each below K.

        Returns:
            float32[n, P, D]: ``latent_scale / C * 2^-F`` times the sum of the chosen shifted entries, without prices.

        Raises:
            ArtifactError: wrong number of levels, or an index of K or more.
        """
        self.check_indices(indices)
        entries = self.shifted()[..., : self.dims].astype(np.int64)
        total = sum(entries[level][indices[..., level]] for level in range(self.num_levels))
        return np.asarray(total * self._step, dtype=np.float32)

    def entry_values(self) -> NDArray[np.float32]:
        """What each index of each level adds to the latents, in their real units: float32[M, K, D], without prices."""
        return np.asarray(self.shifted()[..., : self.dims] * self._step, dtype=np.float32)

    def check_indices(self, indices: NDArray[Any]) -> None:
        """Check that integers [n, P, M] choose entries of this codebook.

        Raises:
            ArtifactError: wrong number of levels, or an index below 0 or of K or more.
        """
        if indices.ndim != 3 or indices.shape[2] != self.num_levels:
            raise ArtifactError(f"indices have shape {list(indices.shape)}, expected [n, P, {self.num_levels}]")
        if indices.size and (int(indices.max()) >= self.num_entries or int(indices.min()) < 0):
            raise ArtifactError(f"index {int(indices.max())} is outside the codebook of {self.num_entries} entries")

    @property
    def _step(self) -> builtins.float:
        """Real value of one residual unit."""
        return builtins.float(self.latent_scale) / self.copies * 2.0**-self.residual_frac_bits

    def save(self, path: str | Path) -> None:
        """Write codebook.npz; equal codebooks give equal bytes. ``price_dims``, ``beam`` and ``copies`` are there only
        where they are not at their defaults."""
        later = {"price_dims": np.int32(self.price_dims)} if self.price_dims else {}
        later.update({name: np.int32(getattr(self, name)) for name in ("beam", "copies") if getattr(self, name) > 1})
        write_npz(
            path,
            float=self.float,
            integer=self.integer,
            entry_shift=self.entry_shift,
            residual_frac_bits=np.int32(self.residual_frac_bits),
            latent_scale=np.float32(self.latent_scale),
            latent_zero_point=np.int32(self.latent_zero_point),
            **later,
        )

    @classmethod
    def load(cls, path: str | Path) -> IntegerCodebook:
        """Read and check a codebook.npz.

        Raises:
            ArtifactError: missing, damaged, or not a valid codebook.
        """
        arrays = read_npz(path)
        names = ("integer", "entry_shift", "residual_frac_bits", "latent_scale", "latent_zero_point", "float")
        absent = [name for name in names if name not in arrays]
        if absent:
            raise ArtifactError(f"{path} lacks {', '.join(absent)}", _REBUILD)
        arrays.setdefault("price_dims", np.array(0, np.int32))
        for name in ("beam", "copies"):
            arrays.setdefault(name, np.array(1, np.int32))
        for name in (*names[2:5], "price_dims", "beam", "copies"):
            if arrays[name].shape != ():
                raise ArtifactError(f"{path}: {name} has shape {list(arrays[name].shape)}, expected a scalar", _REBUILD)
        return cls(
            integer=arrays["integer"],
            entry_shift=arrays["entry_shift"],
            residual_frac_bits=int(arrays["residual_frac_bits"]),
            latent_scale=builtins.float(arrays["latent_scale"]),
            latent_zero_point=int(arrays["latent_zero_point"]),
            float=arrays["float"],
            price_dims=int(arrays["price_dims"]),
            beam=int(arrays["beam"]),
            copies=int(arrays["copies"]),
        )
