"""The decoder as data: a checked list of layers and their float32 weights.

A decoder is a sequence of numbered values: value 0 is the latents ``[P, D]`` of one frame and value ``i + 1`` is what
layer ``i`` makes of the values named by its ``inputs``. Height-1 image axes of the training code are dropped: every
value has the shape [time, channels].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from kit.errors import ArtifactError

Kind = Literal["upsample", "depth_to_space", "conv", "depthwise", "affine", "layer_norm", "relu", "add"]
KINDS: tuple[str, ...] = get_args(Kind)

_RETRAIN = "rebuild with kit build-firmware"
_INPUTS = {"add": 2}
_SIZED = ("upsample", "depth_to_space")
_WEIGHTS: dict[str, tuple[str, ...]] = {
    "conv": ("kernel", "bias"),
    "depthwise": ("kernel",),
    "affine": ("gain", "offset"),
    "layer_norm": ("gain", "offset"),
}


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer.

    ============== ==================================================================================================
    upsample       every time step repeated ``size`` times (nearest)
    depth_to_space every time step split into ``size`` time steps; its first channels become the first of them
    conv           stride 1, SAME, taps ``dilation`` steps apart; ``kernel`` float32 [taps, in, out], ``bias`` [out]
    depthwise      stride 1, SAME; ``kernel`` float32 [taps, channels]
    affine         x * gain + offset per channel: batch normalisation at inference
    layer_norm     (x - mean) / sqrt(variance + epsilon) * gain + offset over the channels of each time step
    relu           max(x, 0)
    add            sum of two values
    ============== ==================================================================================================

    Attributes:
        name: of the layer it came from; prefix of its weights.
        inputs: numbers of the values it reads.
        size: factor in time of upsample and depth_to_space; 0 for other kinds.
        epsilon: layer_norm's; 0 for other kinds.
        dilation: conv's, at least 1; 1 for other kinds.
    """

    name: str
    kind: Kind
    inputs: tuple[int, ...]
    size: int = 0
    epsilon: float = 0.0
    dilation: int = 1

    @property
    def weights(self) -> tuple[str, ...]:
        """Keys of this layer's arrays in :attr:`DecoderSpec.weights`."""
        return tuple(f"{self.name}.{part}" for part in _WEIGHTS.get(self.kind, ()))


@dataclass(frozen=True, slots=True)
class DecoderSpec:
    """A whole decoder: latents float32 [positions, channels] to a frame float32 [samples] in units of its scale.

    Attributes:
        positions: time steps of the latents.
        channels: of the latents.
        samples: of a frame.
        layers: in the order in which they run.
        weights: their arrays, by the keys of :attr:`Layer.weights`.
        codebook: float32[M, K, channels], what each index of each level adds to the latents; None: the device's own
            entries.
    """

    positions: int
    channels: int
    samples: int
    layers: tuple[Layer, ...]
    weights: dict[str, NDArray[np.float32]]
    codebook: NDArray[np.float32] | None = None

    @property
    def parameters(self) -> int:
        """Number of weights, those of the codebook among them."""
        own = 0 if self.codebook is None else self.codebook.size
        return own + sum(array.size for array in self.weights.values())

    def shapes(self) -> list[tuple[int, int]]:
        """(time, channels) of every value, the latents first.

        Raises:
            ArtifactError: a layer that does not fit its inputs or weights, or an output that is not [samples, 1].
        """
        shapes = [(self.positions, self.channels)]
        for number, layer in enumerate(self.layers):
            _check_layer(layer, number)
            shapes.append(_output_shape(layer, [shapes[i] for i in layer.inputs], self.weights))
        if shapes[-1] != (self.samples, 1):
            raise ArtifactError(f"the decoder makes {shapes[-1]}, not ({self.samples}, 1)", _RETRAIN)
        return shapes

    def validate(self) -> None:
        """Raise ArtifactError unless shapes chain, dtypes are float32, values are finite and no weight is unused."""
        if min(self.positions, self.channels, self.samples) < 1:
            raise ArtifactError("the decoder has an empty input or output", _RETRAIN)
        names = [key for layer in self.layers for key in layer.weights]
        if len(set(names)) != len(names):
            raise ArtifactError("two decoder layers share a name", _RETRAIN)
        if set(names) != set(self.weights):
            odd = sorted(set(names) ^ set(self.weights))
            raise ArtifactError(f"decoder layers and weights differ at {odd[0]}", _RETRAIN)
        for key, array in self.weights.items():
            _check_numbers(f"decoder weight {key}", array)
        if self.codebook is not None:
            self._check_codebook(self.codebook)
        self.shapes()

    def _check_codebook(self, codebook: NDArray[np.float32]) -> None:
        _check_numbers("the decoder's codebook", codebook)
        if codebook.ndim != 3 or codebook.shape[2] != self.channels or 0 in codebook.shape:
            found, expected = list(codebook.shape), f"[levels, K, {self.channels}]"
            raise ArtifactError(f"the decoder's codebook has shape {found}, expected {expected}", _RETRAIN)

    def expect_indices(self, *, num_levels: int, num_entries: int) -> None:
        """Check the codebook, where there is one, against the indices that are to be decoded.

        Raises:
            ArtifactError: of other levels or another number of entries; names both.
        """
        if self.codebook is not None and self.codebook.shape[:2] != (num_levels, num_entries):
            found, expected = list(self.codebook.shape[:2]), [num_levels, num_entries]
            raise ArtifactError(f"the decoder's codebook has [levels, K] {found}, the indices {expected}", _RETRAIN)


def _check_numbers(what: str, array: NDArray[np.float32]) -> None:
    if array.dtype != np.float32:
        raise ArtifactError(f"{what} is {array.dtype}, not float32", _RETRAIN)
    if not np.isfinite(array).all():
        raise ArtifactError(f"{what} is not finite", _RETRAIN)


def _check_layer(layer: Layer, number: int) -> None:
    if layer.kind not in KINDS:
        raise ArtifactError(f"decoder layer {layer.name}: unknown kind {layer.kind!r}; known: {', '.join(KINDS)}")
    if len(layer.inputs) != _INPUTS.get(layer.kind, 1) or not all(0 <= i <= number for i in layer.inputs):
        raise ArtifactError(f"decoder layer {layer.name}: {layer.kind} cannot read values {layer.inputs}", _RETRAIN)
    if (layer.kind in _SIZED) != (layer.size > 0):
        raise ArtifactError(f"decoder layer {layer.name}: size {layer.size} is wrong for {layer.kind}", _RETRAIN)
    if (layer.kind == "layer_norm") != (layer.epsilon > 0):
        raise ArtifactError(f"decoder layer {layer.name}: epsilon {layer.epsilon} is wrong for {layer.kind}", _RETRAIN)
    if layer.dilation < 1 or (layer.dilation > 1 and layer.kind != "conv"):
        found = f"dilation {layer.dilation} is wrong for {layer.kind}"
        raise ArtifactError(f"decoder layer {layer.name}: {found}", _RETRAIN)


def _output_shape(
    layer: Layer, inputs: list[tuple[int, int]], weights: dict[str, NDArray[np.float32]]
) -> tuple[int, int]:
    time, channels = inputs[0]
    shapes = tuple(weights[key].shape for key in layer.weights if key in weights)
    if layer.kind == "upsample":
        return time * layer.size, channels
    if layer.kind == "depth_to_space":
        fits, time, outputs = channels % layer.size == 0, time * layer.size, channels // layer.size
    elif layer.kind == "conv":
        kernel = shapes[0]
        fits = len(kernel) == 3 and kernel[0] >= 1 and kernel[1] == channels and shapes[1] == (kernel[2],)
        outputs = kernel[2] if fits else 0
    elif layer.kind == "depthwise":
        fits, outputs = len(shapes[0]) == 2 and shapes[0][0] >= 1 and shapes[0][1] == channels, channels
    elif layer.kind in ("affine", "layer_norm"):
        fits, outputs = all(shape == (channels,) for shape in shapes), channels
    else:
        fits, outputs = all(shape == inputs[0] for shape in inputs), channels
    if not fits:
        raise ArtifactError(f"decoder layer {layer.name}: weights {shapes} do not fit inputs {inputs}", _RETRAIN)
    return time, outputs
