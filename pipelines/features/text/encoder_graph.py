"""The sentence encoder for one text at a time: `inputs` string[1] -> `outputs` float32[1, 512].

The published graph was translated from TensorFlow. It keeps its words' vectors in 17 tables, looks
each word up in all of them, and asks of every pair of neighbours whether they belong to the same
text: hundreds of small operators that cost more than the network. Written here from the same
weights: one table, n-grams as windows over the text, and layer normalisation as one operator. The
last layer reads the sum of the words' vectors rather than each of them: it is linear.

Only numbers are copied, so the same weights give the same bytes on every machine. Its vectors are
not the published graph's to the bit: where a sum is rounded otherwise, int8 may fall on the other
side of a step. Yang et al. 2020, "Multilingual Universal Sentence Encoder for Semantic Retrieval".
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_contracts.errors import BadInput

SHARDS = 17  # word w is row w // SHARDS of table w % SHARDS
DIMENSIONS, WIDTH = 512, 256
NGRAMS = {2: (0, 1), 3: (1, 1), 5: (2, 2)}  # words before and after that a window reaches
SMALLEST_VARIANCE = 1e-12
OPSET, IR_VERSION = 17, 9
RUNTIME, TOKENISERS = "com.microsoft", "ai.onnx.contrib"

_TABLE = "Func/StatefulPartitionedCall/input/_{}:0_{}"
_HIDDEN = "EncoderDNN/DNN/ResidualHidden_{}/dense/kernel"
_SHORTCUT = "EncoderDNN/DNN/ResidualHidden_{}/AdjustDepth/projection/kernel"


class Quantised(NamedTuple):
    """Names of uint8 values, their step and their zero."""

    values: str
    step: str
    zero: str


def onnx_from_sharded(path: Path) -> bytes:
    """The graph written from the weights of the published one; BadInput for another network."""
    import onnx

    published = onnx.load(path)
    try:
        return _encoder(_Graph(published))
    except (KeyError, IndexError) as error:
        raise BadInput(
            f"{path.name} is not the sentence encoder that is read here: it lacks {error}; "
            "take the file that data_contracts/catalogue.yaml names"
        ) from None


def _encoder(graph: _Graph) -> bytes:
    words = graph.word_vectors(graph.words())
    quantised = graph.quantised(words)
    features = [words, *(graph.ngrams(quantised, order) for order in NGRAMS)]
    together = graph.normalised(graph.node("Concat", *features, axis=1), "CNN_layers")
    graph.dense_layers(graph.mean_read(together))
    return graph.serialised()


class _Graph:
    """Nodes and constants with names given in order; `published` gives the weights."""

    def __init__(self, published: Any) -> None:
        self._weights = {weight.name: weight for weight in published.graph.initializer}
        self._tokeniser = published.graph.node[0]
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._reaches: dict[int, str] = {}

    def words(self) -> str:
        """int32[words], the marks at both ends of the text among them."""
        import onnx

        tokeniser = onnx.NodeProto()
        tokeniser.CopyFrom(self._tokeniser)
        tokeniser.output[0], tokeniser.output[1] = "words", "splits"
        self._nodes.append(tokeniser)
        self._constants += [self._weights[name] for name in dict.fromkeys(tokeniser.input[1:])]
        numbers = self.node("Range", self._number(0), self.node("Size", "words"), self._number(1))
        self._places = self.node("Unsqueeze", numbers, self._numbers(1))
        return "words"

    def word_vectors(self, words: str) -> str:
        """float32[words, DIMENSIONS]: table w % SHARDS has a step and a zero of its own."""
        from onnx import TensorProto

        tables = np.stack([self._table(at, "quantized") for at in range(SHARDS)], axis=1)
        steps, zeros = (
            np.array([self._table(at, part) for at in range(SHARDS)], np.float32)
            for part in ("scale", "zero_point")
        )
        values, step, zero = (
            self.node("Gather", self.constant(each), words, axis=0)
            for each in (
                tables.reshape(-1, DIMENSIONS),
                np.tile(steps, len(tables))[:, None],
                np.tile(zeros, len(tables))[:, None],
            )
        )
        centred = self.node("Sub", self.node("Cast", values, to=TensorProto.FLOAT), zero)
        return self.node("Mul", centred, step)

    def ngrams(self, words: Quantised, order: int) -> str:
        """float32[words, WIDTH]: two convolutions over windows of `order` words, with shortcuts."""
        where = f"CNN_layers/ngram_order_{order}"
        dense = f"{where}/input_size_projection/dense"
        projected = self.product(words, f"{dense}/kernel", f"{dense}/bias:0")
        features = self.normalised(projected, where)
        for layer in (f"Ngram-{order}-Conv", f"Ngram-{order}-Conv_1"):
            windows = self.windows(self.quantised(features), *NGRAMS[order])
            filtered = self.product(windows, f"{where}/{layer}/weights", f"{where}/{layer}/bias:0")
            features = self.node("Add", self.node("Relu", filtered), features)
        return features

    def mean_read(self, features: str) -> str:
        """float32[1, DIMENSIONS]: the last layer of the sum over words / sqrt(words)."""
        from onnx import TensorProto

        summed = self.node("ReduceSum", features, self._numbers(0), keepdims=1)
        count = self.node("Cast", self.node("Shape", "words"), to=TensorProto.FLOAT)
        root = self.node("Sqrt", count)
        read = self.product(
            self.quantised(self.node("Div", summed, root)), "CNN_layers/dense/kernel"
        )
        bias = self.node("Mul", root, self.constant(self._weight("CNN_layers/dense/bias:0")))
        return self.node("Add", read, bias)

    def dense_layers(self, features: str) -> None:
        """Four layers with two shortcuts, and unit length."""
        first = self.quantised(features)
        hidden = self.quantised(self.node("Relu", self.product(first, _HIDDEN.format(0))))
        wide = self.node(
            "Add", self.product(hidden, _HIDDEN.format(1)), self.product(first, _SHORTCUT.format(1))
        )
        second = self.quantised(self.node("Relu", wide))
        hidden = self.quantised(self.node("Relu", self.product(second, _HIDDEN.format(2))))
        wide = self.node(
            "Add", self.product(hidden, _HIDDEN.format(3)),
            self.product(second, _SHORTCUT.format(3)),
        )  # fmt: skip
        self.node("LpNormalization", self.node("Tanh", wide), output="outputs", axis=1, p=2)

    def quantised(self, values: str) -> Quantised:
        """By the smallest and the largest of the text's own values."""
        name = f"q{len(self._nodes)}"
        outputs = [f"{name}.values", f"{name}.step", f"{name}.zero"]
        self._append("DynamicQuantizeLinear", [values], outputs)
        return Quantised(*outputs)

    def windows(self, words: Quantised, before: int, after: int) -> Quantised:
        """uint8[words, size * WIDTH]: each word beside its neighbours, beyond the text zeros."""
        padded = self.node("Pad", words.values, self._numbers(before, 0, after, 0), words.zero)
        size = before + 1 + after
        beside = self.node("Gather", padded, self._reach(size), axis=0)
        return words._replace(values=self.node("Reshape", beside, self._numbers(-1, size * WIDTH)))

    def product(self, values: Quantised, weight: str, bias: str | None = None) -> str:
        kernel, step, zero = (
            self.constant(self._weight(f"{weight}:0_{part}"))
            for part in ("quantized", "scale", "zero_point")
        )
        inputs = [values.values, kernel, values.step, step, values.zero, zero]
        if bias is not None:
            inputs.append(self.constant(self._weight(bias).reshape(-1)))
        return self.node("MatMulIntegerToFloat", *inputs, domain=RUNTIME)

    def normalised(self, values: str, where: str) -> str:
        gamma, beta = (
            self.constant(self._weight(f"{where}/LayerNorm/{part}:0")) for part in ("gamma", "beta")
        )
        return self.node(
            "LayerNormalization", values, gamma, beta, axis=-1, epsilon=SMALLEST_VARIANCE
        )

    def constant(self, values: NDArray[Any]) -> str:
        from onnx import numpy_helper

        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        name = output or f"n{len(self._nodes)}"
        self._append(operator, inputs, [name], **attributes)
        return name

    def serialised(self) -> bytes:
        from onnx import TensorProto, helper

        value = helper.make_tensor_value_info
        model = helper.make_model(
            helper.make_graph(
                self._nodes,
                "sentence_encoder",
                [value("inputs", TensorProto.STRING, [1])],
                [value("outputs", TensorProto.FLOAT, [1, DIMENSIONS])],
                self._constants,
            ),
            opset_imports=[
                helper.make_opsetid("", OPSET),
                helper.make_opsetid(TOKENISERS, 1),
                helper.make_opsetid(RUNTIME, 1),
            ],
            ir_version=IR_VERSION,
            producer_name="weir",
        )
        content: bytes = model.SerializeToString(deterministic=True)
        return content

    def _append(
        self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any
    ) -> None:
        from onnx import helper

        self._nodes.append(helper.make_node(operator, inputs, outputs, **attributes))

    def _reach(self, size: int) -> str:
        """int64[words, size]: which padded rows each window holds."""
        if size not in self._reaches:
            self._reaches[size] = self.node("Add", self._places, self._numbers(*range(size)))
        return self._reaches[size]

    def _table(self, shard: int, part: str) -> NDArray[Any]:
        return self._read(_TABLE.format(shard + 1, part))

    def _weight(self, end: str) -> NDArray[Any]:
        """The one weight whose name ends so."""
        return self._read(next((name for name in self._weights if name.endswith(end)), end))

    def _read(self, name: str) -> NDArray[Any]:
        from onnx import numpy_helper

        values: NDArray[Any] = numpy_helper.to_array(self._weights[name])
        return values

    def _number(self, value: int) -> str:
        return self.constant(np.array(value, np.int64))

    def _numbers(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))
