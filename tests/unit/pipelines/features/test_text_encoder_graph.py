"""The encoder written anew gives the published one's vectors, for a fraction of the operators."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from data_contracts.config import load_settings
from data_contracts.errors import BadInput, MissingPart
from pipelines.assets import asset_file
from pipelines.features.text.encoder import OnnxEncoder
from pipelines.features.text.encoder_graph import onnx_from_sharded

ENCODER = "multilingual-512"
TEXTS = (
    "ok", "Are we still on for lunch tomorrow? The usual place, half past twelve.",
    "CONGRATULATIONS!!! You have won £1,000 — text CLAIM to 80082 now http://bit.ly/x1",
    "Merhaba, yarın saat kaçta buluşuyoruz?", "加微信 领红包", "Wir sehen uns morgen, bis dann!",
    "a", "free " * 60, "x@y.com", "Le colis n'a pas pu être livré : cliquez ici",
)  # fmt: skip


@pytest.fixture(scope="module")
def files() -> dict[str, Path]:
    """The published encoder and the one that is written from it."""
    settings = load_settings()
    try:
        return {
            name: asset_file(name, settings.data, settings.cache)
            for name in (f"{ENCODER}-published", ENCODER)
        }
    except MissingPart as missing:
        pytest.skip(str(missing))


def test_another_network_is_refused(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value], [
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    ])  # fmt: skip
    onnx.save(helper.make_model(graph), tmp_path / "other.onnx")
    with pytest.raises(BadInput, match=r"other\.onnx is not the sentence encoder"):
        onnx_from_sharded(tmp_path / "other.onnx")


@pytest.mark.dataset
def test_vectors_point_where_the_published_ones_do(files: dict[str, Path]) -> None:
    published, written = (OnnxEncoder(path) for path in files.values())
    cosines = [float(written.encode(text) @ published.encode(text)) for text in TEXTS]
    assert min(cosines) > 0.995
    others = [float(written.encode(text) @ published.encode(TEXTS[1])) for text in TEXTS[2:]]
    assert max(others) < 0.8


@pytest.mark.dataset
def test_a_text_has_one_vector_whatever_came_before_it(files: dict[str, Path]) -> None:
    first, second = (OnnxEncoder(files[ENCODER]) for _ in range(2))
    forwards = {text: first.encode(text) for text in TEXTS}
    for text in reversed(TEXTS):
        vector = second.encode(text)
        assert vector.tobytes() == forwards[text].tobytes()
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
