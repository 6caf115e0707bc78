"""What quantisation refuses and keeps, and that no neighbour in a batch can move a vector."""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import orjson
import pytest
from safetensors.numpy import save_file
from scipy.special import ndtr, softmax

from data_contracts.config import Data, load_settings
from data_contracts.errors import BadInput, ConfigurationError, MissingPart, NothingToDo
from data_contracts.events import Event
from data_contracts.labels import LabelledEvent
from pipelines.configured_encoder import (
    RESULT,
    encoder_file,
    encoder_version,
    variants_folder,
)
from pipelines.downloads import file_sha256
from pipelines.features.text.encoder import OnnxEncoder
from pipelines.features.text.minilm import DIMENSIONS, EPSILON, HEADS, Kind, network
from pipelines.features.text.remembered import encoder_at
from pipelines.features.text.token_encoder import Running, TokenEncoder, encoder_of
from pipelines.features.text.token_engine import embed_all, provider_of
from pipelines.features.text.tokens import MOST_TOKENS, Batch, batches
from training import quantised_variants
from training.quantisation import changed_by_neighbours, quantise_all, rates, run
from training.quantisation_gate import Measured, best, refusals
from training.quantised_variants import (
    VARIANTS,
    Made,
    Source,
    Variant,
    original,
    runnable,
)

GOOD = Measured("good", "quantised", 0.995, 0.0002, 0, 8, 400.0)
WORDS = 64
TOKENS = [list(range(1, 2 + length)) for length in (3, 5, 6, 9, 4, 7, 2, 3, 5, 6, 12, 40)]
BY_TOKEN, FIXED, MIXED = VARIANTS[0], VARIANTS[1], VARIANTS[4]


def weights(layers: int = 1, words: int = WORDS) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {
        "embeddings.word_embeddings.weight": (words, DIMENSIONS),
        "embeddings.token_type_embeddings.weight": (2, DIMENSIONS),
        "embeddings.position_embeddings.weight": (MOST_TOKENS, DIMENSIONS),
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
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """One layer of random weights, and a tokeniser of WORDS words."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    folder = tmp_path_factory.mktemp("encoder")
    known = Tokenizer(WordLevel({word(at): at for at in range(WORDS)}, unk_token=word(0)))
    known.pre_tokenizer = Whitespace()
    known.save(str(folder / "tokenizer.json"))
    save_file(weights(), folder / "weights.safetensors")
    (folder / "original.onnx").write_bytes(network(weights(), layers=1))
    return Source(
        folder / "original.onnx", folder / "weights.safetensors", folder / "tokenizer.json", TOKENS
    )


@pytest.fixture(scope="module", autouse=True)
def one_layer() -> Iterator[None]:
    """Networks of this module have as many layers as its weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            quantised_variants, "network", lambda given, kind: network(given, kind, layers=1)
        )
        yield


def word(at: int) -> str:
    """
    >>> word(0), word(27)
    ('wordaa', 'wordbb')
    """
    return f"word{chr(97 + at // 26)}{chr(97 + at % 26)}"


def messages(count: int) -> list[LabelledEvent]:
    rng = np.random.default_rng(1)
    texts = [" ".join(word(at) for at in rng.integers(1, WORDS, 9).tolist()) for _ in range(count)]
    return [
        LabelledEvent(
            Event(event_id=str(at), text=f"{word(1 + at % 2)} {text}"),
            "spam" if at % 2 else "ham",
            "d",
        )
        for at, text in enumerate(texts)
    ]


def test_a_variant_within_every_limit_is_not_refused() -> None:
    assert refusals(GOOD) == ()


@pytest.mark.parametrize(
    ("measured", "word"),
    [
        (replace(GOOD, minimum_cosine=0.9899), "cosine"),
        (replace(GOOD, minimum_cosine=float("nan")), "cosine"),
        (replace(GOOD, average_precision_lost=0.0011), "precision"),
    ],
)
def test_drift_and_lost_quality_refuse_a_variant(measured: Measured, word: str) -> None:
    (why,) = refusals(measured)
    assert word in why


def test_the_fastest_usable_variant_of_a_use_is_kept() -> None:
    drifted = replace(GOOD, variant="drifted", minimum_cosine=0.9, messages_a_cpu_second=900.0)
    faster = replace(GOOD, variant="faster", messages_a_cpu_second=500.0)
    graphics = replace(GOOD, variant="graphics", use="cuda", messages_a_cpu_second=5000.0)
    assert best([drifted, GOOD, faster, graphics], "quantised") == faster
    assert best([drifted, GOOD, faster, graphics], "cuda") == graphics
    assert best([drifted], "quantised") is None


@pytest.mark.parametrize("kind", ["fp32", "fp16", "int8"])
def test_the_same_weights_give_the_same_bytes(kind: Kind) -> None:
    assert network(weights(), kind, layers=1) == network(weights(), kind, layers=1)


def test_a_vector_is_the_unit_mean_of_the_layers_worked_by_hand(source: Source) -> None:
    """Against the same arithmetic in NumPy, without padding or batches."""
    engine = original(source).open(Running("onnxruntime"))
    found = embed_all(engine, TOKENS, 8)
    expected = [by_hand(weights(), text) for text in TOKENS]
    np.testing.assert_allclose(found, expected, atol=2e-6)


def by_hand(held: dict[str, np.ndarray], text: list[int]) -> np.ndarray:
    def dense(states: np.ndarray, name: str) -> np.ndarray:
        return states @ held[f"{at}.{name}.weight"].T + held[f"{at}.{name}.bias"]

    def normalised(states: np.ndarray) -> np.ndarray:
        centred = states - states.mean(1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(1, keepdims=True) + EPSILON)

    at = "encoder.layer.0"
    words, kinds, places = (
        held[f"embeddings.{part}_embeddings.weight"].astype(np.float64)
        for part in ("word", "token_type", "position")
    )
    states = normalised(words[text] + kinds[0] + places[: len(text)])
    query, key, value = (
        dense(states, f"attention.self.{part}").reshape(len(text), HEADS, -1).transpose(1, 0, 2)
        for part in ("query", "key", "value")
    )
    shares = softmax(query @ key.transpose(0, 2, 1) / np.sqrt(DIMENSIONS / HEADS), axis=-1)
    mixed = (shares @ value).transpose(1, 0, 2).reshape(len(text), DIMENSIONS)
    states = normalised(dense(mixed, "attention.output.dense") + states)
    wide = dense(states, "intermediate.dense")
    gelu = wide * ndtr(wide)
    mean = normalised(dense(gelu, "output.dense") + states).mean(0)
    return mean / np.linalg.norm(mean)


def test_half_precision_and_int8_weights_stay_close_to_the_original(source: Source) -> None:
    before = embed_all(original(source).open(Running("onnxruntime")), TOKENS, 8)
    for kind in ("fp16", "int8"):
        made = Made(network(weights(), kind, layers=1))
        after = embed_all(made.open(Running("onnxruntime")), TOKENS, 8)
        assert (before * after).sum(1).min() > 0.999
        assert not np.array_equal(before, after)


def test_a_batch_holds_texts_of_one_width_and_every_row_once() -> None:
    made = list(batches(TOKENS, 8))
    assert sorted(row for batch in made for row in batch.rows.tolist()) == list(range(len(TOKENS)))
    assert [batch.grid.shape for batch in made] == [(8, 32), (3, 32), (1, 64)]


def test_tokens_stand_one_after_another_and_the_grid_says_which_is_where() -> None:
    (batch,) = batches([[5, 6], [7]], 8)
    assert batch.ids.tolist() == [5, 6, 7]
    assert batch.slots.tolist() == [0, 1, 32]
    assert batch.grid[:, :3].tolist() == [[0, 1, -1], [2, -1, -1]]
    assert (batch.grid[:, 3:] == -1).all()


@pytest.mark.parametrize("variant", [BY_TOKEN, FIXED], ids=lambda one: one.name)
def test_openvinos_int8_is_the_same_alone_and_among_eight(variant: Variant, source: Source) -> None:
    made, again = variant.make(source), variant.make(source)
    engine = made.open(variant.running)
    assert changed_by_neighbours(engine, TOKENS) == 0
    vectors = embed_all(engine, TOKENS, 8)
    np.testing.assert_array_equal(vectors, embed_all(again.open(variant.running), TOKENS, 8))
    before = embed_all(original(source).open(Running("onnxruntime")), TOKENS, 8)
    assert not np.array_equal(vectors, before)


def test_onnx_runtimes_fixed_int8_leaves_named_nodes_in_floating_point(source: Source) -> None:
    kinds = [
        [node.op_type for node in onnx.load_from_string(one.make(source).network).graph.node]
        for one in (VARIANTS[3], MIXED)
    ]
    scales = [one.count("DequantizeLinear") for one in kinds]
    assert scales[0] > scales[1] > 0


def test_a_vector_that_depends_on_its_batch_is_counted() -> None:
    class Mixing:
        def embed(self, batch: Batch) -> np.ndarray:
            return np.full((len(batch.rows), 2), len(batch.rows), np.float32)

    assert changed_by_neighbours(Mixing(), [[1, 2]] * 8) == 8


def test_a_rate_is_the_median_of_rounds_after_one_to_warm(source: Source) -> None:
    ticks = iter(range(0, 1200, 2))
    engine = original(source).open(Running("onnxruntime"))
    found = rates([(engine, 8), (engine, 1)], TOKENS, lambda: float(next(ticks)))
    assert found == [len(TOKENS) / 2, len(TOKENS) / 2]


def test_what_the_gate_keeps_is_what_the_configuration_serves(
    source: Source, tmp_path: Path
) -> None:
    data = configured(tmp_path, "quantised")
    folder = variants_folder(data.encoder, tmp_path)
    result = quantise_all(source, messages(60), folder, seed=1, variants=[BY_TOKEN])
    (figures,) = result["variants"]
    assert figures["refused"] == []
    assert result["kept"]["cuda"] is None
    (folder / RESULT).write_bytes(orjson.dumps(result))

    file = encoder_file(data, tmp_path)
    assert encoder_version(data, tmp_path) == file_sha256(file)
    encoder = encoder_of(file)
    assert isinstance(encoder, TokenEncoder)
    assert encoder.dimensions == DIMENSIONS
    direct = embed_all(BY_TOKEN.make(source).open(BY_TOKEN.running), [[1, 2, 3]], 1)[0]
    np.testing.assert_allclose(
        encoder_at(file).encode(" ".join(map(word, (1, 2, 3)))), direct, atol=1e-6
    )
    with pytest.raises(MissingPart, match="keeps none"):
        encoder_file(configured(tmp_path, "cuda"), tmp_path)
    file.write_bytes(b"changed")
    with pytest.raises(MissingPart, match="training quantise"):
        encoder_file(data, tmp_path)


def test_a_text_has_the_same_vector_alone_and_among_others_long_ones_too(
    source: Source, tmp_path: Path
) -> None:
    target = tmp_path / "encoder.zip"
    BY_TOKEN.write(BY_TOKEN.make(source), source, 8, target)
    encoder = TokenEncoder(target)
    texts = [row.event.text for row in messages(20)]
    texts += [" ".join(texts), "", word(3), texts[0] * 40]
    together = encoder.encode_all(texts)
    assert [one.tobytes() for one in together] == [encoder.encode(text).tobytes() for text in texts]
    assert encoder.encode_all([]) == []


def test_threads_that_share_an_encoder_get_the_vectors_of_their_own_texts(
    source: Source, tmp_path: Path
) -> None:
    target = tmp_path / "encoder.zip"
    BY_TOKEN.write(BY_TOKEN.make(source), source, 8, target)
    encoder = TokenEncoder(target)
    texts = [row.event.text for row in messages(40)]
    expected = [TokenEncoder(target).encode(texts[0]).tobytes()] * 4
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(encoder.encode, [*texts, *[texts[0]] * 4]))
    assert [one.tobytes() for one in together[40:]] == expected
    np.testing.assert_array_equal(together[:40], encoder.encode_all(texts))


def test_an_encoders_file_depends_on_its_content_alone(source: Source, tmp_path: Path) -> None:
    for name in ("one", "two"):
        BY_TOKEN.write(BY_TOKEN.make(source), source, 8, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_an_onnx_that_takes_strings_is_opened_as_before_and_an_archive_of_others_refused(
    source: Source, tmp_path: Path
) -> None:
    assert isinstance(encoder_of(source.original), OnnxEncoder)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme", "nothing")
    with pytest.raises(BadInput, match="is no encoder"):
        encoder_of(tmp_path / "other.zip").encode("")


def test_without_a_quantised_encoder_the_configuration_names_the_verb(tmp_path: Path) -> None:
    with pytest.raises(MissingPart, match=r"run `python -m training quantise`"):
        encoder_file(configured(tmp_path, "quantised"), tmp_path)
    with pytest.raises(MissingPart, match="where ONNX Runtime has CUDA"):
        encoder_version(configured(tmp_path, "cuda"), tmp_path)
    with pytest.raises(MissingPart, match=r"set data\.encoder_variant to quantised"):
        encoder_file(configured(tmp_path, "published"), tmp_path)


def configured(folder: Path, variant: str) -> Data:
    given = {"encoder": "minilm-l6", "encoder_variant": variant, "root": folder}
    return load_settings({}).data.model_copy(update=given)


def test_an_encoder_without_an_fp32_original_is_left_as_it_is() -> None:
    arguments = argparse.Namespace(dataset=[], lake_days="all")
    with pytest.raises(NothingToDo, match=r"multilingual-512 has no fp32 original"):
        run(arguments, load_settings({}))


def test_a_missing_gpu_provider_is_an_error_that_names_the_remedy() -> None:
    with pytest.raises(ConfigurationError, match="onnxruntime-gpu"):
        provider_of("cuda", ["CPUExecutionProvider"])


def test_an_encoder_for_a_gpu_says_what_is_missing_where_there_is_none(
    source: Source, tmp_path: Path
) -> None:
    graphics = VARIANTS[-1]
    assert graphics.running.device == "cuda"
    if graphics in runnable():
        pytest.skip("this machine's ONNX Runtime has CUDA")
    graphics.write(Made(network(weights(), "fp16", layers=1)), source, 8, tmp_path / "gpu.zip")
    with pytest.raises(ConfigurationError, match="install onnxruntime-gpu"):
        encoder_of(tmp_path / "gpu.zip").encode("")
