"""Encoder, quantizer and decoder, each on its own."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support import need_package

need_package("tensorflow")

import keras

from kit.config import KERNEL, Config, parse_config
from kit.errors import ArtifactError, ShapeError
from kit.model.autoencoder import build_autoencoder, codebooks, load_autoencoder, save_model, unit_variance_mse
from kit.model.decoder import build_decoder
from kit.model.encoder import build_encoder
from kit.model.rvq import ResidualVectorQuantizer, initial_codebook, nearest_indices, perplexity, revived
from tests.support import seed

DECODER_LAYERS = {
    "InputLayer",
    "UpSampling2D",
    "Conv2D",
    "SeparableConv2D",
    "BatchNormalization",
    "LayerNormalization",
    "ReLU",
}


def config(**model: object) -> Config:
    return parse_config({"name": "t", "model": model})


def small(**model: object) -> Config:
    keys = {"embedding_dim": 4, "latent_width": 8, "num_stages": 3, "base_filters": 4, **model}
    return parse_config({"name": "t", "signal": {"frame_samples": 64}, "model": keys})


def test_encoder_of_the_description() -> None:
    encoder = build_encoder(config())
    assert encoder.count_params() == 12768
    assert encoder.input_shape == (None, 1, 320, 1)
    assert encoder.output_shape == (None, 1, 40, 16)
    names = [layer.name for layer in encoder.layers[1:]]
    assert names[:6] == ["stage0_conv", "stage0_norm", "stage0_relu", "stage1_conv", "stage1_norm", "stage1_relu"]
    assert names[6:] == ["stage2_depthwise", "stage2_pointwise", "stage2_norm", "stage2_relu", "head_conv"]


@pytest.mark.parametrize("stages", [1, 2, 4])
def test_encoder_halves_once_per_stage(stages: int) -> None:
    encoder = build_encoder(config(num_stages=stages))
    assert encoder.output_shape == (None, 1, 320 >> stages, 16)
    depthwise = [layer for layer in encoder.layers if isinstance(layer, keras.layers.DepthwiseConv2D)]
    assert len(depthwise) == max(0, stages - 2)
    assert all(not layer.use_bias and layer.kernel_size == (1, KERNEL) for layer in depthwise)


def test_lapped_encoder_is_one_convolution_of_the_whole_stride() -> None:
    encoder = build_encoder(config(encoder="lapped", encoder_taps=31))
    (head,) = encoder.layers[1:]
    assert (head.name, head.kernel_size, head.strides, head.filters) == ("head_conv", (1, 31), (1, 8), 16)
    assert encoder.output_shape == (None, 1, 40, 16)
    assert encoder.count_params() == 31 * 16 + 16


def test_lapped_encoder_with_channels_between() -> None:
    keys = {"encoder": "lapped", "encoder_taps": 31, "encoder_filters": 24}
    encoder = build_encoder(config(**keys, encoder_block_norm="none"))
    analysis, relu, head = encoder.layers[1:]
    assert (analysis.kernel_size, analysis.strides, analysis.filters) == ((1, 31), (1, 8), 24)
    assert (relu.name, head.kernel_size, head.filters) == ("analysis_relu", (1, 1), 16)
    assert encoder.output_shape == (None, 1, 40, 16)
    assert encoder.count_params() == 31 * 24 + 24 + 24 * 16 + 16
    names = [layer.name for layer in build_encoder(config(**keys)).layers[1:]]
    assert names == ["analysis_conv", "analysis_norm", "analysis_relu", "head_conv"]


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_bias_only_where_no_batch_norm_follows(norm: str) -> None:
    encoder = build_encoder(config(encoder_block_norm=norm, encoder_head_norm=norm))
    for layer in encoder.layers:
        if type(layer) is keras.layers.Conv2D:
            assert layer.use_bias == (norm != "batch"), layer.name
    kinds = {"batch": keras.layers.BatchNormalization, "layer": keras.layers.LayerNormalization}
    norms = [layer for layer in encoder.layers if layer.name.endswith("_norm")]
    assert [type(layer) for layer in norms] == ([] if norm == "none" else [kinds[norm]] * 4)


def test_depthwise_stride_is_that_of_time_only() -> None:
    x = np.random.default_rng(seed()).normal(size=(2, 1, 16, 3)).astype(np.float32)
    layer = keras.layers.DepthwiseConv2D((1, KERNEL), strides=(2, 2), padding="same", use_bias=False)
    y = np.asarray(layer(x))
    taps = np.asarray(layer.kernel)[0, :, :, 0]
    padded = np.pad(x[:, 0], ((0, 0), (2, 3), (0, 0)))
    for t in range(8):
        np.testing.assert_allclose(y[:, 0, t], (padded[:, 2 * t : 2 * t + 7] * taps).sum(1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stages", [1, 3])
def test_decoder_mirrors_the_encoder_with_known_layers(stages: int) -> None:
    decoder = build_decoder(config(num_stages=stages, decoder_block_norm="batch"))
    assert decoder.input_shape == (None, 1, 320 >> stages, 16)
    assert decoder.output_shape == (None, 1, 320, 1)
    assert {type(layer).__name__ for layer in decoder.layers} <= DECODER_LAYERS
    assert sum(isinstance(layer, keras.layers.UpSampling2D) for layer in decoder.layers) == stages
    head = [layer.name for layer in decoder.layers][-2:]
    assert head == ["head_norm", "head_conv"]


def test_wide_decoder_of_the_recommended_point() -> None:
    decoder = build_decoder(config(decoder="wide"))
    assert decoder.input_shape == (None, 1, 40, 16) and decoder.output_shape == (None, 1, 320, 1)
    assert {type(layer).__name__ for layer in decoder.layers} <= DECODER_LAYERS - {"UpSampling2D"} | {"Add", "Reshape"}
    dilations = [layer.dilation_rate[1] for layer in decoder.layers if layer.name.endswith("_dilated")]
    assert dilations == [1, 2, 4, 8, 1]
    assert decoder.count_params() == 521_417
    assert build_decoder(config(decoder="wide", decoder_width=256, decoder_blocks=7)).count_params() < 3_000_000


def test_without_its_blocks_the_wide_decoder_is_a_linear_synthesis() -> None:
    decoder = build_decoder(config(decoder="wide", decoder_width=16, decoder_blocks=2))
    head = decoder.get_layer("head_conv")
    head.kernel.assign(np.zeros(head.kernel.shape))
    shape = (3, *decoder.input_shape[1:])
    a, b = np.random.default_rng(1).standard_normal((2, *shape)).astype(np.float32)
    both, one, other, none = (np.asarray(decoder(x)) for x in (a + b, a, b, np.zeros(shape, np.float32)))
    assert np.abs(one).max() > 1e-2
    np.testing.assert_allclose(both - none, one + other - 2.0 * none, atol=1e-4)


def test_quantizer_value_losses_and_gradients() -> None:
    import tensorflow as tf

    rng = np.random.default_rng(seed())
    rvq = ResidualVectorQuantizer(2, 8, 3, beta=0.25)
    book = rng.normal(size=(2, 8, 3)).astype(np.float32)
    rvq.codebook.assign(book)
    z = tf.Variable(rng.normal(size=(2, 1, 5, 3)).astype(np.float32))
    with tf.GradientTape(persistent=True) as tape:
        out = rvq(z, training=True)
        through, loss = tf.reduce_sum(3.0 * out), rvq.losses[0]
    index = nearest_indices(np.asarray(z), book)
    expected = book[0][index[..., 0]] + book[1][index[..., 1]]
    np.testing.assert_allclose(np.asarray(out)[:, 0], expected, atol=1e-5)
    np.testing.assert_allclose(tape.gradient(through, z), np.full(z.shape, 3.0), rtol=1e-6)
    first = np.asarray(z)[:, 0] - book[0][index[..., 0]]
    second = first - book[1][index[..., 1]]
    assert float(loss) == pytest.approx(1.25 * (np.mean(first**2) + np.mean(second**2)) / 2, rel=1e-4)
    # The commitment term alone moves the latents, the codebook term alone the entries that were chosen.
    np.testing.assert_allclose(
        np.asarray(tape.gradient(loss, z))[:, 0], 0.25 * 2 * (first + second) / (first.size * 2), rtol=1e-3, atol=1e-6
    )
    moved = np.abs(np.asarray(tape.gradient(loss, rvq.codebook))).sum(axis=2) > 0
    assert set(np.flatnonzero(moved[0])) == set(index[..., 0].ravel())
    assert np.asarray(rvq.usage).sum(axis=1).tolist() == [10.0, 10.0]


def test_inactive_quantizer_is_transparent() -> None:
    rvq = ResidualVectorQuantizer(2, 8, 3, beta=0.25)
    rvq.active.assign(0.0)
    z = np.random.default_rng(seed()).normal(size=(2, 1, 5, 3)).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(rvq(z, training=True)), z)
    assert float(rvq.losses[0]) == 0.0
    rvq.start(np.zeros((2, 8, 3), np.float32))
    np.testing.assert_array_equal(np.asarray(rvq(z)), np.zeros_like(z))


def test_ties_take_the_lowest_index() -> None:
    book = np.zeros((1, 4, 2), np.float32)
    assert nearest_indices(np.ones((1, 3, 2), np.float32), book).tolist() == [[[0]] * 3]


def test_search_refuses_other_channels() -> None:
    with pytest.raises(ShapeError, match="channels"):
        nearest_indices(np.zeros((1, 3, 2), np.float32), np.zeros((1, 4, 3), np.float32))


def test_k_means_finds_clusters_and_repeats() -> None:
    rng = np.random.default_rng(seed())
    centres = rng.normal(scale=10.0, size=(8, 3))
    points = (centres[rng.integers(8, size=2000)] + rng.normal(scale=0.01, size=(2000, 3))).astype(np.float32)
    book = initial_codebook(points, 2, 16, seed=3)
    assert book.shape == (2, 16, 3)
    nearest = np.abs(book[0][:, None] - centres[None]).sum(-1).min(axis=1)
    assert np.median(nearest) < 0.1
    np.testing.assert_array_equal(book, initial_codebook(points, 2, 16, seed=3))
    assert np.isfinite(initial_codebook(points[:3], 2, 16, seed=3)).all()


def test_revival_replaces_only_unused_entries() -> None:
    rng = np.random.default_rng(seed())
    book = rng.normal(size=(2, 4, 3)).astype(np.float32)
    latents = rng.normal(size=(50, 3)).astype(np.float32)
    usage = np.array([[100.0, 0.0, 50.0, 60.0], [10.0, 10.0, 10.0, 10.0]])
    new = revived(book, usage, latents, np.random.default_rng(1))
    assert (new != book).any(axis=2).tolist() == [[False, True, False, False], [False] * 4]
    assert (new[0, 1] == latents).all(axis=1).any()


def test_perplexity_bounds() -> None:
    np.testing.assert_allclose(perplexity(np.array([[5, 5, 5, 5], [9, 0, 0, 0], [0, 0, 0, 0]])), [4.0, 1.0, 1.0])


def test_mse_is_relative_to_each_frame() -> None:
    y = np.random.default_rng(seed()).normal(size=(3, 64)).astype(np.float32) * [[0.5], [2.0], [0.0]]
    error = np.float32(0.1) * y
    expected = np.mean([0.01 * np.mean(row**2) / row.var() for row in y[:2]]) * 2 / 3
    assert float(unit_variance_mse(y, y + error)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_one_step_trains_every_variable(norm: str) -> None:
    keras.utils.set_random_seed(1)
    norms = {f"{part}_{place}_norm": norm for part in ("encoder", "decoder") for place in ("block", "head")}
    autoencoder = build_autoencoder(small(**norms))
    autoencoder.compile(optimizer=keras.optimizers.Adam(1e-2), jit_compile=False)
    before = [np.asarray(v) for v in autoencoder.trainable_variables]
    x = np.random.default_rng(seed()).normal(size=(16, 64)).astype(np.float32)
    logs = autoencoder.train_on_batch(x, x, return_dict=True)
    assert np.isfinite(logs["loss"])
    for old, variable in zip(before, autoencoder.trainable_variables, strict=True):
        assert not np.array_equal(old, np.asarray(variable)), variable.path


def test_saved_model_gives_identical_outputs(tmp_path) -> None:
    keras.utils.set_random_seed(1)
    autoencoder = build_autoencoder(small())
    autoencoder.rvq.start(np.random.default_rng(1).normal(size=(2, 8, 4)).astype(np.float32))
    x = np.random.default_rng(seed()).normal(size=(5, 64)).astype(np.float32)
    save_model(autoencoder, tmp_path / "a.keras")
    loaded = load_autoencoder(tmp_path / "a.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), autoencoder.predict(x, verbose=0))
    np.testing.assert_array_equal(codebooks(loaded), codebooks(autoencoder))
    assert codebooks(loaded).shape == (2, 8, 4)
    latents = loaded.encoder.predict(x[:, None, :, None], verbose=0)
    np.testing.assert_array_equal(loaded.rvq.indices(latents), nearest_indices(latents, codebooks(loaded)))


def test_loading_says_what_is_wrong(tmp_path) -> None:
    with pytest.raises(ArtifactError, match="does not exist"):
        load_autoencoder(tmp_path / "a.keras")
    (tmp_path / "a.keras").write_bytes(b"PK nonsense")
    with pytest.raises(ArtifactError, match="cannot load"):
        load_autoencoder(tmp_path / "a.keras")
    save_model(build_encoder(small()), tmp_path / "e.keras")
    with pytest.raises(ArtifactError, match="not an RVQ autoencoder"):
        load_autoencoder(tmp_path / "e.keras")


def test_codebooks_refuse_values_that_are_not_finite() -> None:
    autoencoder = build_autoencoder(small())
    autoencoder.rvq.codebook.assign(np.full((2, 8, 4), np.nan, np.float32))
    with pytest.raises(ShapeError, match="finite"):
        codebooks(autoencoder)
