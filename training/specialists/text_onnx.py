"""The text specialist as one ONNX file: inputs `embedding` and `lexical`, output `log_odds`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.specialists.text import (
    EMBEDDING_SCALE,
    LEXICAL_BOUND,
    Network,
    TextSpecialist,
)

OPSET, IR_VERSION = 17, 9


def export_specialist(members: Sequence[TextSpecialist]) -> bytes:
    """ONNX with `embedding` float32[n, d], `lexical` float32[n, k] -> `log_odds` float32[n, 3].

    The output is the mean over `members`. Written node by node: no tracing, no pickle.
    """
    from onnx import TensorProto, helper

    graph = _Graph()
    scale = graph.constant(np.array(EMBEDDING_SCALE, np.float32))
    scaled = graph.node("Mul", "embedding", scale)
    outputs = [_member(graph, member, scaled) for member in members]
    graph.node("Mean", *outputs, output="log_odds")
    width, lexical = members[0].general.weights[0].shape[0], len(members[0].scaling.mean)
    value = helper.make_tensor_value_info
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "text_specialist",
            [
                value("embedding", TensorProto.FLOAT, ["n", width]),
                value("lexical", TensorProto.FLOAT, ["n", lexical]),
            ],
            [value("log_odds", TensorProto.FLOAT, ["n", 3])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="weir",
    )
    content: bytes = model.SerializeToString()
    return content


class OnnxSpecialist:
    """Runs an exported specialist on one row at a time, so that no neighbour can matter."""

    def __init__(self, content: bytes) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )

    def scores(
        self, embedding: NDArray[np.float32], lexical: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """float64[3]: log-odds by head for one text."""
        inputs = {"embedding": embedding[None, :], "lexical": lexical[None, :]}
        return np.asarray(self._session.run(None, inputs)[0][0], np.float64)


class _Graph:
    """Nodes and constants with names given in order, so that the same model gives the same file."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, values: NDArray[np.float32]) -> str:
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        from onnx import helper

        name = output or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name


def _member(graph: _Graph, member: TextSpecialist, scaled: str) -> str:
    mean, inverse = (graph.constant(part) for part in member.scaling)
    centred = graph.node("Mul", graph.node("Sub", "lexical", mean), inverse)
    low = graph.constant(np.array(-LEXICAL_BOUND, np.float32))
    high = graph.constant(np.array(LEXICAL_BOUND, np.float32))
    lexical = graph.node("Clip", centred, low, high)
    both = graph.node("Concat", scaled, lexical, axis=1)
    heads = [
        _network(graph, member.content, scaled),
        _network(graph, member.style, both),
        _network(graph, member.general, "embedding"),
    ]
    return graph.node("Concat", *heads, axis=1)


def _network(graph: _Graph, network: Network, inputs: str) -> str:
    for last, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True), 1):
        inputs = graph.node("Gemm", inputs, graph.constant(weight), graph.constant(bias))
        if last < len(network.weights):
            inputs = graph.node("Relu", inputs)
    return inputs
