"""What quantisation refuses and keeps, and that no neighbour in a batch can move a vector."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from data_contracts.config import load_settings
from data_contracts.errors import ConfigurationError, NothingToDo
from pipelines.features.text.minilm import DIMENSIONS, network
from pipelines.features.text.token_engine import OnnxRuntimeEngine, embed_all, provider_of
from pipelines.features.text.tokens import batches
from training.quantisation import changed_by_neighbours, rates, run
from training.quantisation_gate import Measured, best, refusals
from training.quantised_variants import VARIANTS, quantise

GOOD = Measured("good", 0.995, 0.0002, 0, 400.0)
TOKENS = [list(range(1, 2 + length)) for length in (3, 5, 6, 9, 4, 7, 2, 3, 5, 6, 12, 7)]


def weights(layers: int = 1, words: int = 64) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {
        "embeddings.word_embeddings.weight": (words, DIMENSIONS),
        "embeddings.token_type_embeddings.weight": (2, DIMENSIONS),
        "embeddings.position_embeddings.weight": (32, DIMENSIONS),
    }
    for number in range(layers):
        at = f"encoder.layer.{number}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            shapes[f"{at}.attention.{part}.weight"] = (DIMENSIONS, DIMENSIONS)
        shapes[f"{at}.intermediate.dense.weight"] = (4 * DIMENSIONS, DIMENSIONS)
        shapes[f"{at}.output.dense.weight"] = (DIMENSIONS, 4 * DIMENSIONS)
    found = {name: rng.normal(0, 0.05, shape) for name, shape in shapes.items()}
    for name, matrix in list(found.items()):
        if ".layer." in name:
            found[name.replace("weight", "bias")] = np.zeros(len(matrix))
    norms = ["embeddings.LayerNorm"] + [
        f"encoder.layer.{number}{part}.LayerNorm"
        for number in range(layers)
        for part in (".attention.output", ".output")
    ]
    for norm in norms:
        found |= {f"{norm}.weight": np.ones(DIMENSIONS), f"{norm}.bias": np.zeros(DIMENSIONS)}
    return {name: values.astype(np.float32) for name, values in found.items()}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder") / "original.onnx"
    path.write_bytes(network(weights(), layers=1))
    return path


def test_a_variant_within_every_limit_is_not_refused() -> None:
    assert refusals(GOOD) == ()


@pytest.mark.parametrize(
    ("measured", "word"),
    [
        (replace(GOOD, minimum_cosine=0.9899), "cosine"),
        (replace(GOOD, minimum_cosine=float("nan")), "cosine"),
        (replace(GOOD, average_precision_lost=0.0011), "precision"),
        (replace(GOOD, changed_by_neighbours=1), "neighbours"),
    ],
)
def test_drift_lost_quality_and_neighbours_refuse_a_variant(measured: Measured, word: str) -> None:
    (why,) = refusals(measured)
    assert word in why


def test_the_fastest_usable_variant_is_the_default() -> None:
    drifted = Measured("drifted", 0.9, 0.0, 0, 900.0)
    faster = replace(GOOD, variant="faster", messages_a_cpu_second=500.0)
    assert best([drifted, GOOD, faster]) == faster
    assert best([drifted]) is None


def test_the_same_weights_give_the_same_bytes() -> None:
    assert network(weights(), layers=1) == network(weights(), layers=1)


def test_vectors_have_length_one_and_padding_counts_for_nothing(original: Path) -> None:
    engine = OnnxRuntimeEngine(original)
    ids, mask = np.array([[1, 2, 3]]), np.ones((1, 3), np.int64)
    wide_ids, wide_mask = np.array([[1, 2, 3, 0, 0]]), np.array([[1, 1, 1, 0, 0]])
    short, long = engine.embed(ids, mask), engine.embed(wide_ids, wide_mask)
    assert np.linalg.norm(short) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(short, long, atol=1e-5)


def test_a_batch_holds_texts_of_one_width_and_every_row_once() -> None:
    made = list(batches(TOKENS, 4))
    assert sorted(row for batch in made for row in batch.rows.tolist()) == list(range(len(TOKENS)))
    assert [batch.ids.shape for batch in made] == [(4, 8), (4, 8), (2, 8), (2, 16)]


def test_openvinos_static_int8_is_the_same_alone_and_among_eight(
    original: Path, tmp_path: Path
) -> None:
    engine = quantise(VARIANTS[0], original, TOKENS, tmp_path / "first")
    again = quantise(VARIANTS[0], original, TOKENS, tmp_path / "again")
    assert changed_by_neighbours(engine, TOKENS) == 0
    vectors = embed_all(engine, TOKENS, 8)
    np.testing.assert_array_equal(vectors, embed_all(again, TOKENS, 8))
    assert not np.array_equal(vectors, embed_all(OnnxRuntimeEngine(original), TOKENS, 8))


def test_onnx_runtimes_static_int8_leaves_named_nodes_in_floating_point(
    original: Path, tmp_path: Path
) -> None:
    whole, mixed = VARIANTS[2], VARIANTS[3]
    quantise(whole, original, TOKENS, tmp_path)
    quantise(mixed, original, TOKENS, tmp_path)
    kinds = [
        [node.op_type for node in onnx.load(tmp_path / one.file).graph.node]
        for one in (whole, mixed)
    ]
    scales = [one.count("DequantizeLinear") for one in kinds]
    assert scales[0] > scales[1] > 0


def test_a_vector_that_depends_on_its_batch_is_counted() -> None:
    class Mixing:
        def embed(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
            return np.full((len(ids), 2), len(ids), np.float32)

    assert changed_by_neighbours(Mixing(), [[1, 2]] * 8) == 8


def test_a_rate_is_the_median_of_rounds_after_one_to_warm(original: Path) -> None:
    ticks = iter(range(0, 1200, 2))
    found = rates({"one": OnnxRuntimeEngine(original)}, TOKENS, lambda: float(next(ticks)))
    assert found == {"one": len(TOKENS) / 2}


def test_an_encoder_without_an_fp32_original_is_left_as_it_is() -> None:
    arguments = argparse.Namespace(dataset=[], lake_days="all")
    with pytest.raises(NothingToDo, match=r"multilingual-512 has no fp32 original"):
        run(arguments, load_settings({}))


def test_a_missing_gpu_provider_is_an_error_that_names_the_remedy() -> None:
    with pytest.raises(ConfigurationError, match="onnxruntime-gpu"):
        provider_of("cuda", ["CPUExecutionProvider"])
