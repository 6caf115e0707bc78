"""EfficientNet-Lite0 as one ONNX file: `rgb` uint8[n, 224, 224, 3] -> `embedding` float32[n, 1280].

Written node by node from the weights, with batch normalisation folded into the convolutions: the
same weights give the same bytes on every machine, so that their sha256 can be checked.

Tan & Le 2019, "EfficientNet: Rethinking Model Scaling"; the Lite variant drops squeeze and
excitation, and uses ReLU6 (TensorFlow TPU repository, models/official/efficientnet/lite).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE, DIMENSIONS = 224, 1280
BLOCKS = 16
STRIDED = frozenset({1, 3, 5, 11})  # blocks that halve the picture
EPSILON = 1e-3
MEAN, SPREAD = 127.0, 128.0
OPSET, IR_VERSION = 17, 9

Weights = Mapping[str, NDArray[np.float32]]


def onnx_from_state_dict(path: Path) -> bytes:
    """ONNX from a torch state dict of the package efficientnet-lite-pytorch.

    KeyError where the file is of another network.
    """
    import torch

    stored = torch.load(path, map_location="cpu", weights_only=True)
    return network({name: tensor.numpy() for name, tensor in stored.items()})


def network(weights: Weights) -> bytes:
    """The whole network up to its embedding; its classes are left out."""
    from onnx import TensorProto, helper

    graph = _Graph(weights)
    features = graph.convolution(graph.pixels(), "_conv_stem", "_bn0", stride=2)
    features = graph.clipped(features)
    for number in range(BLOCKS):
        features = graph.block(features, f"_blocks.{number}", 2 if number in STRIDED else 1)
    features = graph.clipped(graph.convolution(features, "_conv_head", "_bn1"))
    graph.node("Flatten", graph.node("GlobalAveragePool", features), output="embedding")
    value = helper.make_tensor_value_info
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "efficientnet_lite0",
            [value("rgb", TensorProto.UINT8, ["n", SIDE, SIDE, 3])],
            [value("embedding", TensorProto.FLOAT, ["n", DIMENSIONS])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="weir",
    )
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def folded(
    kernel: NDArray[np.float32], norm: Mapping[str, NDArray[np.float32]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Kernel and bias of one convolution that does what convolution and normalisation did.

    `kernel` float32[out, in, h, w]; `norm` has weight, bias, running_mean, running_var of [out].
    """
    exact = {name: part.astype(np.float64) for name, part in norm.items()}
    scale = exact["weight"] / np.sqrt(exact["running_var"] + EPSILON)
    bias = exact["bias"] - exact["running_mean"] * scale
    wide = kernel.astype(np.float64) * scale[:, None, None, None]
    return wide.astype(np.float32), bias.astype(np.float32)


class _Graph:
    """Nodes and constants with names given in order."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
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

    def pixels(self) -> str:
        from onnx import TensorProto

        planes = self.node("Transpose", "rgb", perm=[0, 3, 1, 2])
        values = self.node("Cast", planes, to=TensorProto.FLOAT)
        centred = self.node("Sub", values, self.constant(np.array(MEAN, np.float32)))
        return self.node("Div", centred, self.constant(np.array(SPREAD, np.float32)))

    def clipped(self, features: str) -> str:
        low, high = (self.constant(np.array(bound, np.float32)) for bound in (0, 6))
        return self.node("Clip", features, low, high)

    def convolution(self, features: str, kernel: str, norm: str, stride: int = 1) -> str:
        found = self._weights[f"{kernel}.weight"]
        parts = {
            part: self._weights[f"{norm}.{part}"]
            for part in ("weight", "bias", "running_mean", "running_var")
        }
        kernel_values, bias = folded(found, parts)
        side = found.shape[2]
        before, after = (side - stride) // 2, (side - stride + 1) // 2
        return self.node(
            "Conv", features, self.constant(kernel_values), self.constant(bias),
            kernel_shape=[side, side], strides=[stride, stride],
            pads=[before, before, after, after],
            group=len(found) if "_depthwise" in kernel else 1,
        )  # fmt: skip

    def block(self, features: str, name: str, stride: int) -> str:
        """One inverted residual: widen, filter each channel, narrow; added where shapes allow."""
        inner = features
        if f"{name}._expand_conv.weight" in self._weights:
            widened = self.convolution(inner, f"{name}._expand_conv", f"{name}._bn0")
            inner = self.clipped(widened)
        filtered = self.convolution(inner, f"{name}._depthwise_conv", f"{name}._bn1", stride)
        narrowed = self.convolution(self.clipped(filtered), f"{name}._project_conv", f"{name}._bn2")
        return self.node("Add", narrowed, features) if self._adds(name) else narrowed

    def _adds(self, name: str) -> bool:
        entry = self._weights.get(f"{name}._expand_conv.weight")
        leaving = len(self._weights[f"{name}._project_conv.weight"])
        return entry is not None and entry.shape[1] == leaving
