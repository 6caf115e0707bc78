"""all-MiniLM-L6-v2 as one ONNX file: `ids`, `slots` int64[t], `grid` int64[n, w] -> `embedding`.

Inputs as in `tokens.Batch`; `embedding` is float32[n, 384]: the mean over a text's tokens, of
length 1. Dense layers read the tokens one after another, without padding, where nearly all of the
work is; only attention reads the grid. Written node by node from the weights, so that the same
weights give the same bytes on every machine and their sha256 can be checked.

Wang et al. 2020, "MiniLM"; Reimers & Gurevych 2019, "Sentence-BERT".
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

LAYERS, HEADS, DIMENSIONS = 6, 12, 384
HEAD_WIDTH = DIMENSIONS // HEADS
EPSILON = 1e-12
HIDDEN_LOGIT = -10_000.0  # of an empty slot: its weight is exactly 0 after the softmax
INT8_STEPS = 127  # symmetric, so that weights need no zero point
OPSET, IR_VERSION = 20, 9

Weights = Mapping[str, NDArray[np.float32]]
Kind = Literal["fp32", "fp16", "int8"]


def onnx_from_safetensors(path: Path) -> bytes:
    """ONNX from the weights of sentence-transformers. KeyError where the file is of another."""
    return network(read_weights(path))


def read_weights(path: Path) -> Weights:
    from safetensors.numpy import load_file

    weights: Weights = load_file(path)
    return weights


def network(weights: Weights, kind: Kind = "fp32", layers: int = LAYERS) -> bytes:
    """Embeddings, `layers` transformer layers, mean, unit length.

    `int8`: weights of dense layers with one scale an output, dequantised in the graph; whether
    activations are int8 as well is the engine's. `fp16`: all but the inputs and the last mean.
    """
    from onnx import TensorProto, helper

    graph = _Graph(weights, kind)
    states = graph.embeddings()
    for number in range(layers):
        states = graph.layer(states, f"encoder.layer.{number}")
    graph.unit_mean(states)
    value = helper.make_tensor_value_info
    shapes = {"ids": ["t"], "slots": ["t"], "grid": ["n", "w"]}
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "minilm",
            [value(name, TensorProto.INT64, shape) for name, shape in shapes.items()],
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

    def __init__(self, weights: Weights, kind: Kind) -> None:
        self._weights = weights
        self._is_int8 = kind == "int8"
        self._number = np.float16 if kind == "fp16" else np.float32
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        none = self.constant(np.array(0, np.int64))
        self._taken = self.node("GreaterOrEqual", "grid", none)  # bool[n, w]
        self._tokens = self.node("Max", "grid", none)  # an empty slot shows the first token
        self._hidden = self._hidden_logits()

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

    def weight(self, values: NDArray[np.float32], name: str) -> str:
        return self.constant(values.astype(self._number), name)

    def dense(self, inputs: str, name: str) -> str:
        return self._dense(inputs, name, self._weights[f"{name}.weight"], f"{name}.bias")

    def normalised(self, inputs: str, name: str) -> str:
        scale, shift = (
            self.weight(self._weights[f"{name}.{part}"], f"{name}.{part}")
            for part in ("weight", "bias")
        )
        return self.node("LayerNormalization", inputs, scale, shift, axis=-1, epsilon=EPSILON)

    def embeddings(self) -> str:
        """float[t, d]: word, kind (always 0) and place of each token."""
        kind = self._weights["embeddings.token_type_embeddings.weight"][0]
        words = self._weights["embeddings.word_embeddings.weight"]
        places = self._weights["embeddings.position_embeddings.weight"] + kind
        width = self.node("Slice", self.node("Shape", "grid"), self._numbers(1), self._numbers(2))
        place = self.node("Mod", "slots", width)
        seen = self.node("Gather", self.weight(words, "words"), "ids")
        here = self.node("Gather", self.weight(places, "places"), place)
        return self.normalised(self.node("Add", seen, here), "embeddings.LayerNorm")

    def layer(self, states: str, name: str) -> str:
        """One transformer layer, its norms after the sums."""
        mixed = self.dense(
            self.attention(states, f"{name}.attention.self"), f"{name}.attention.output.dense"
        )
        states = self.normalised(
            self.node("Add", mixed, states), f"{name}.attention.output.LayerNorm"
        )
        wide = self.node("Gelu", self.dense(states, f"{name}.intermediate.dense"))
        narrow = self.dense(wide, f"{name}.output.dense")
        return self.normalised(self.node("Add", narrow, states), f"{name}.output.LayerNorm")

    def attention(self, states: str, name: str) -> str:
        """Scaled dot products of HEADS heads, within each row of the grid. Vaswani et al. 2017."""
        grid = self.node("Gather", self._three(states, name), self._tokens)  # float[n, w, 3 d]
        columns = [self._numbers(number * DIMENSIONS) for number in range(4)]
        query, key, value = (
            self._heads(self.node("Slice", grid, *columns[at : at + 2], self._numbers(2)), order)
            for at, order in enumerate(([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]))
        )
        logits = self.node("MatMul", query, key, output=f"{name}.logits")
        shares = self.node("Softmax", self.node("Add", logits, self._hidden), axis=-1)
        mixed = self.node("MatMul", shares, value, output=f"{name}.mixed")
        mixed = self.node("Transpose", mixed, perm=[0, 2, 1, 3])
        rows = self.node("Reshape", mixed, self._numbers(-1, DIMENSIONS))
        return self.node("Gather", rows, "slots")

    def unit_mean(self, states: str) -> None:
        """float32[n, d]: a text's mean as a unit vector, so the sum does as well."""
        from onnx import TensorProto

        taken = self.node("Unsqueeze", self._as_float(self._taken), self._numbers(2))
        found = self.node("Cast", states, to=TensorProto.FLOAT)
        kept = self.node("Mul", self.node("Gather", found, self._tokens), taken)
        summed = self.node("ReduceSum", kept, self._numbers(1), keepdims=0)
        length = self.node("ReduceL2", summed, self._numbers(1), keepdims=1)
        floor = self.constant(np.array(1e-9, np.float32))
        self.node("Div", summed, self.node("Max", length, floor), output="embedding")

    def _three(self, states: str, name: str) -> str:
        """float[t, 3 d]: query, already scaled, key and value of each token, in one product."""
        scales = {
            "query": np.float32(HEAD_WIDTH**-0.5),
            "key": np.float32(1),
            "value": np.float32(1),
        }
        matrix, bias = (
            np.concatenate(
                [self._weights[f"{name}.{part}.{of}"] * scale for part, scale in scales.items()]
            )
            for of in ("weight", "bias")
        )
        return self._dense(states, f"{name}.three", matrix, bias)

    def _dense(
        self, inputs: str, name: str, matrix: NDArray[np.float32], bias: NDArray[np.float32] | str
    ) -> str:
        """`name` is also the name of the product's node: quantisation leaves nodes out by name."""
        product = self.node("MatMul", inputs, self._matrix(matrix, f"{name}.weight"), output=name)
        shift = self._weights[bias] if isinstance(bias, str) else bias
        return self.node("Add", product, self.weight(shift, f"{name}.bias"))

    def _matrix(self, matrix: NDArray[np.float32], name: str) -> str:
        if not self._is_int8:
            return self.weight(matrix.T, name)
        scales = np.maximum(np.abs(matrix).max(axis=1) / INT8_STEPS, np.float32(1e-12))
        steps = np.rint(matrix / scales[:, None]).astype(np.int8)
        held = self.constant(steps.T, name), self.constant(scales, f"{name}.scale")
        return self.node("DequantizeLinear", *held, axis=1)

    def _hidden_logits(self) -> str:
        """float[n, 1, 1, w]: what is added to the logits, 0 for a slot that is taken."""
        zero, hidden = (
            self.constant(np.array(logit, self._number)) for logit in (0.0, HIDDEN_LOGIT)
        )
        logits = self.node("Where", self._taken, zero, hidden)
        return self.node("Unsqueeze", logits, self._numbers(1, 2))

    def _heads(self, states: str, order: list[int]) -> str:
        shape = self._numbers(0, 0, HEADS, HEAD_WIDTH)
        return self.node("Transpose", self.node("Reshape", states, shape), perm=order)

    def _as_float(self, values: str) -> str:
        from onnx import TensorProto

        return self.node("Cast", values, to=TensorProto.FLOAT)

    def _numbers(self, *numbers: int) -> str:
        return self.constant(np.array(numbers, np.int64))
