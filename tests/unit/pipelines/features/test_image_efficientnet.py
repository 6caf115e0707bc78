"""Folding changes how a convolution is written, not what it gives."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from data_contracts.config import load_settings
from data_contracts.errors import MissingPart
from pipelines.assets import asset, asset_file
from pipelines.features.image.efficientnet import EPSILON, Weights, folded, network
from pipelines.features.image.network import ImageEncoder

CHANNELS = (16, 24, 24, 40, 40, 80, 80, 80, 112, 112, 112, 192, 192, 192, 192, 320)
SIDES = (3, 3, 3, 5, 5, 3, 3, 3, 5, 5, 5, 5, 5, 5, 5, 3)


def made_weights(seed: int) -> Weights:
    """Small random weights of the network's shapes."""
    rng = np.random.default_rng(seed)
    weights: dict[str, np.ndarray] = {}

    def add(kernel: str, norm: str, *shape: int) -> None:
        weights[f"{kernel}.weight"] = rng.normal(0, 0.3, shape).astype(np.float32)
        for part in ("weight", "bias", "running_mean", "running_var"):
            weights[f"{norm}.{part}"] = rng.uniform(0.5, 1, shape[0]).astype(np.float32)

    add("_conv_stem", "_bn0", 32, 3, 3, 3)
    entering = 32
    for number, (leaving, side) in enumerate(zip(CHANNELS, SIDES, strict=True)):
        name, inner = f"_blocks.{number}", entering * (6 if number else 1)
        if number:
            add(f"{name}._expand_conv", f"{name}._bn0", inner, entering, 1, 1)
        add(f"{name}._depthwise_conv", f"{name}._bn1", inner, 1, side, side)
        add(f"{name}._project_conv", f"{name}._bn2", leaving, inner, 1, 1)
        entering = leaving
    add("_conv_head", "_bn1", 1280, entering, 1, 1)
    return weights


def test_a_folded_convolution_normalises_by_itself() -> None:
    kernel = np.full((1, 1, 1, 1), 2, np.float32)
    norm = {"weight": 3.0, "bias": 5.0, "running_mean": 4.0, "running_var": 1 - EPSILON}
    values, bias = folded(kernel, {name: np.array([part]) for name, part in norm.items()})
    assert (values.item(), bias.item()) == pytest.approx((6.0, -7.0))  # 3 (2x - 4) + 5 = 6x - 7


def test_the_same_weights_give_the_same_bytes_and_an_embedding_of_1280() -> None:
    content = network(made_weights(0))
    assert content == network(made_weights(0)) != network(made_weights(1))
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    black = np.zeros((1, 224, 224, 3), np.uint8)
    (embedding,) = session.run(None, {"rgb": black})
    assert embedding.shape == (1, 1280)
    assert ((embedding >= 0) & (embedding <= 6)).all()


@pytest.mark.dataset
def test_the_real_encoder_tells_two_pictures_apart_and_repeats_itself() -> None:
    settings = load_settings({})
    try:
        file = asset_file("efficientnet-lite0", settings.data, settings.cache)
    except MissingPart as error:
        pytest.skip(str(error))
    encoder = ImageEncoder(file)
    black, noise = np.zeros((30, 40, 3), np.uint8), np.random.default_rng(0)
    first = encoder.encode(noise.integers(0, 256, (300, 200, 3)).astype(np.uint8))
    assert first.shape == (asset("efficientnet-lite0").dimensions,)
    assert np.array_equal(encoder.encode(black), encoder.encode(black))
    assert not np.allclose(first, encoder.encode(black))
