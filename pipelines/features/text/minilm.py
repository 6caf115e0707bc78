"""all-MiniLM-L6-v2 as one ONNX file: `ids`, `mask` int64[n, t] -> `embedding` float32[n, 384].

Written node by node from the weights, so that the same weights give the same bytes on every
machine and their sha256 can be checked. The vector is the mean over the tokens that `mask` keeps,
of length 1.

Wang et al. 2020, "MiniLM"; Reimers & Gurevych 2019, "Sentence-BERT".
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LAYERS, HEADS, DIMENSIONS = 6, 12, 384
HEAD_WIDTH = DIMENSIONS // HEADS
EPSILON = 1e-12
HIDDEN_LOGIT = -10_000.0  # of a token that is padding: its weight is exactly 0 after the softmax
OPSET, IR_VERSION = 20, 9

Weights = Mapping[str, NDArray[np.float32]]


def onnx_from_safetensors(path: Path) -> bytes:
    """ONNX from the weights of sentence-transformers. KeyError where the file is of another."""
    from safetensors.numpy import load_file

    return network(load_file(path))


def network(weights: Weights, layers: int = LAYERS) -> bytes:
    """Embeddings, `layers` transformer layers, masked mean, unit length."""
    from onnx import TensorProto, helper

    graph = _Graph(weights)
    hidden_tokens = graph.hidden_tokens()
    states = graph.embeddings()
    for number in range(layers):
        states = graph.layer(states, hidden_tokens, f"encoder.layer.{number}")
    graph.unit_mean(states)
    value = helper.make_tensor_value_info
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "minilm",
            [value(name, TensorProto.INT64, ["n", "t"]) for name in ("ids", "mask")],
            [value("embedding", TensorProto.FLOAT, ["n", DIMENSIONS])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="weir",
    )
    content: bytes = model.SerializeToString(deterministic=True)
    return content


class _Graph:
    """Nodes and constants, named by the weight that they hold or in order."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def node(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        from onnx import helper

        name = output or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name, **attributes))
        return name

    def constant(self, values: NDArray[np.generic], name: str = "") -> str:
        from onnx import numpy_helper

        name = name or f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def weight(self, name: str) -> str:
        return self.constant(self._weights[name], name)

    def dense(self, inputs: str, name: str) -> str:
        """`name` is also the name of the product's node: quantisation leaves nodes out by name."""
        matrix = self.constant(self._weights[f"{name}.weight"].T, f"{name}.weight")
        product = self.node("MatMul", inputs, matrix, output=name)
        return self.node("Add", product, self.weight(f"{name}.bias"))

    def normalised(self, inputs: str, name: str) -> str:
        scale, shift = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.node("LayerNormalization", inputs, scale, shift, axis=-1, epsilon=EPSILON)

    def embeddings(self) -> str:
        """float32[n, t, d]: word, kind (always 0) and place of each token."""
        words = self.node("Gather", self.weight("embeddings.word_embeddings.weight"), "ids")
        kind = self._weights["embeddings.token_type_embeddings.weight"][0]
        places = self._weights["embeddings.position_embeddings.weight"] + kind
        one = self.constant(np.array([1], np.int64))
        two = self.constant(np.array([2], np.int64))
        length = self.node("Slice", self.node("Shape", "ids"), one, two)
        zero = self.constant(np.array([0], np.int64))
        here = self.node("Slice", self.constant(places, "places"), zero, length, zero)
        return self.normalised(self.node("Add", words, here), "embeddings.LayerNorm")

    def hidden_tokens(self) -> str:
        """float32[n, 1, 1, t]: what is added to the logits, 0 for a token that counts."""
        from onnx import TensorProto

        kept = self.node("Cast", "mask", to=TensorProto.FLOAT)
        absent = self.node("Sub", self.constant(np.array(1, np.float32)), kept)
        logits = self.node("Mul", absent, self.constant(np.array(HIDDEN_LOGIT, np.float32)))
        return self.node("Unsqueeze", logits, self.constant(np.array([1, 2], np.int64)))

    def layer(self, states: str, hidden_tokens: str, name: str) -> str:
        """One transformer layer, its norms after the sums."""
        mixed = self.dense(
            self.attention(states, hidden_tokens, f"{name}.attention.self"),
            f"{name}.attention.output.dense",
        )
        states = self.normalised(
            self.node("Add", mixed, states), f"{name}.attention.output.LayerNorm"
        )
        wide = self.node("Gelu", self.dense(states, f"{name}.intermediate.dense"))
        narrow = self.dense(wide, f"{name}.output.dense")
        return self.normalised(self.node("Add", narrow, states), f"{name}.output.LayerNorm")

    def attention(self, states: str, hidden_tokens: str, name: str) -> str:
        """Scaled dot products of HEADS heads. Vaswani et al. 2017."""
        query = self._heads(self.dense(states, f"{name}.query"), [0, 2, 1, 3])
        key = self._heads(self.dense(states, f"{name}.key"), [0, 2, 3, 1])
        value = self._heads(self.dense(states, f"{name}.value"), [0, 2, 1, 3])
        scale = self.constant(np.array(HEAD_WIDTH**-0.5, np.float32))
        logits = self.node("Mul", self.node("MatMul", query, key, output=f"{name}.logits"), scale)
        shares = self.node("Softmax", self.node("Add", logits, hidden_tokens), axis=-1)
        mixed = self.node("MatMul", shares, value, output=f"{name}.mixed")
        mixed = self.node("Transpose", mixed, perm=[0, 2, 1, 3])
        return self.node("Reshape", mixed, self.constant(np.array([0, 0, DIMENSIONS], np.int64)))

    def _heads(self, states: str, order: list[int]) -> str:
        shape = self.constant(np.array([0, 0, HEADS, HEAD_WIDTH], np.int64))
        return self.node("Transpose", self.node("Reshape", states, shape), perm=order)

    def unit_mean(self, states: str) -> None:
        """float32[n, d]: the mean over the tokens that count, as a unit vector."""
        from onnx import TensorProto

        last, tokens = (self.constant(np.array([axis], np.int64)) for axis in (2, 1))
        kept = self.node("Unsqueeze", self.node("Cast", "mask", to=TensorProto.FLOAT), last)
        summed = self.node("ReduceSum", self.node("Mul", states, kept), tokens, keepdims=0)
        length = self.node("ReduceL2", summed, tokens, keepdims=1)
        floor = self.constant(np.array(1e-9, np.float32))
        self.node("Div", summed, self.node("Max", length, floor), output="embedding")
