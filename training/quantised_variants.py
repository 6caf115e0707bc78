"""The one door to quantisation: int8 encoders for OpenVINO (NNCF) and ONNX Runtime.

All are static: ranges are fixed by calibration messages, so that no neighbour in a batch can move
them. Dynamic quantisation takes one range over the whole batch; it is not offered.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.features.text.token_engine import OnnxRuntimeEngine, OpenVinoEngine, TokenEngine
from pipelines.features.text.tokens import batches

Feed = dict[str, NDArray[np.int64]]
DOWN_AND_OUT = r".*output\.dense"  # projections back into the residual stream: they drift most


@dataclass(frozen=True)
class Variant:
    """One way to quantise. `left_out` is a pattern of nodes that stay in floating point."""

    name: str
    engine: Literal["openvino", "onnxruntime"]
    left_out: str | None = None
    precision: Literal["f32", "bf16"] = "f32"

    @property
    def file(self) -> str:
        return f"{self.name}.{'xml' if self.engine == 'openvino' else 'onnx'}"

    def open(self, folder: Path) -> TokenEngine:
        path = folder / self.file
        if self.engine == "openvino":
            return OpenVinoEngine(path, self.precision)
        return OnnxRuntimeEngine(path)


VARIANTS = (
    Variant("openvino-int8", "openvino"),
    Variant("openvino-int8-mixed", "openvino", DOWN_AND_OUT, "bf16"),
    Variant("onnxruntime-int8", "onnxruntime"),
    Variant("onnxruntime-int8-mixed", "onnxruntime", DOWN_AND_OUT),
)


def quantise(
    variant: Variant, original: Path, tokens: Sequence[Sequence[int]], folder: Path
) -> TokenEngine:
    """Calibrate on `tokens`, write the variant's files into `folder`, and open it."""
    folder.mkdir(parents=True, exist_ok=True)
    make = _openvino if variant.engine == "openvino" else _onnxruntime
    make(variant, original, _feeds(tokens), folder / variant.file)
    return variant.open(folder)


def _feeds(tokens: Sequence[Sequence[int]]) -> list[Feed]:
    return [{"ids": batch.ids, "mask": batch.mask} for batch in batches(tokens, 1)]


def _openvino(variant: Variant, original: Path, feeds: list[Feed], target: Path) -> None:
    import nncf
    import openvino
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    nncf.set_log_level(logging.ERROR)
    patterns = [variant.left_out] if variant.left_out else []
    with redirect_stdout(StringIO()):  # progress bars
        quantised = nncf.quantize(
            openvino.Core().read_model(original),
            nncf.Dataset(feeds),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(feeds),
            ignored_scope=nncf.IgnoredScope(patterns=patterns),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX
            ),
        )
    openvino.save_model(quantised, target, compress_to_fp16=False)


def _onnxruntime(variant: Variant, original: Path, feeds: list[Feed], target: Path) -> None:
    import re

    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left: Iterator[Feed] = iter(feeds)

        def get_next(self) -> Any:
            return next(self._left, None)

    model = onnx.load(original)
    constants = {constant.name for constant in model.graph.initializer}
    chosen = [
        node.name
        for node in model.graph.node
        if node.op_type == "MatMul"
        and node.input[1] in constants
        and not (variant.left_out and re.fullmatch(variant.left_out, node.name))
    ]
    quantize_static(
        model, target, Reader(), per_channel=True, op_types_to_quantize=["MatMul"],
        nodes_to_quantize=chosen, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
    )  # fmt: skip
