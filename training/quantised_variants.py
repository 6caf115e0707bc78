"""The one door to quantisation: int8 and fp16 encoders for OpenVINO (NNCF) and ONNX Runtime.

No variant takes a range over a whole batch, so that no neighbour can move a vector: ranges are
fixed by calibration messages, or found for groups of one token's own activations. The latter
needs no messages, and spares what a fixed range does to the activations that come back into the
residual stream, which have outliers (Dettmers et al. 2022, "LLM.int8()").
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipelines.features.text.minilm import network, read_weights
from pipelines.features.text.token_encoder import Running, write_encoder
from pipelines.features.text.token_engine import PROVIDERS, TokenEngine
from pipelines.features.text.tokens import Numbers, batches
from training.quantisation_gate import Use

Feed = dict[str, Numbers]
DOWN_AND_OUT = r".*output\.dense"  # projections back into the residual stream: they drift most
GROUP = 64  # activations that share a scale: 128 is a tenth faster, and drifts to 0.991


@dataclass(frozen=True)
class Source:
    """What variants are made of: `original` fp32 ONNX, `weights`, `tokeniser`, and messages."""

    original: Path
    weights: Path
    tokeniser: Path
    calibration: Sequence[Sequence[int]]

    @property
    def feeds(self) -> list[Feed]:
        return [batch.inputs for batch in batches(self.calibration, 1)]


@dataclass(frozen=True)
class Made:
    """A network's bytes; `weights` where its format keeps them apart."""

    network: bytes
    weights: bytes | None = None

    def open(self, running: Running) -> TokenEngine:
        weights = self.weights
        return running.open(lambda: self.network, None if weights is None else lambda: weights)


@dataclass(frozen=True)
class Variant:
    """One way to quantise, and how its network is run."""

    name: str
    running: Running
    make: Callable[[Source], Made]
    use: Use = "quantised"

    def write(self, made: Made, source: Source, batch: int, target: Path) -> None:
        """One file that serving can open."""
        running = replace(self.running, batch=batch)
        tokeniser = source.tokeniser.read_bytes()
        write_encoder(target, running, tokeniser, made.network, made.weights)


def original(source: Source) -> Made:
    return Made(source.original.read_bytes())


def _int8_weights(source: Source) -> Made:
    return Made(network(read_weights(source.weights), "int8"))


def _fp16(source: Source) -> Made:
    return Made(network(read_weights(source.weights), "fp16"))


def _openvino(source: Source, left_out: str | None = None) -> Made:
    """Fixed ranges; `left_out` is a pattern of nodes that stay in floating point."""
    import nncf
    import openvino
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    nncf.set_log_level(logging.ERROR)
    feeds = source.feeds
    with redirect_stdout(StringIO()):  # progress bars
        quantised = nncf.quantize(
            openvino.Core().read_model(source.original),
            nncf.Dataset(feeds),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(feeds),
            ignored_scope=nncf.IgnoredScope(patterns=[left_out] if left_out else []),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX
            ),
        )
    with TemporaryDirectory(prefix="weir-encoder-") as folder:
        target = Path(folder, "encoder.xml")
        openvino.save_model(quantised, target, compress_to_fp16=False)
        return Made(target.read_bytes(), target.with_suffix(".bin").read_bytes())


def _onnxruntime(source: Source, left_out: str | None = None) -> Made:
    """Fixed ranges; `left_out` is a pattern of nodes that stay in floating point."""
    import re

    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    feeds = source.feeds

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left: Iterator[Feed] = iter(feeds)

        def get_next(self) -> Any:
            return next(self._left, None)

    model = onnx.load(source.original)
    constants = {constant.name for constant in model.graph.initializer}
    chosen = [
        node.name
        for node in model.graph.node
        if node.op_type == "MatMul"
        and node.input[1] in constants
        and not (left_out and re.fullmatch(left_out, node.name))
    ]
    with TemporaryDirectory(prefix="weir-encoder-") as folder, quiet_root():
        target = Path(folder, "encoder.onnx")
        quantize_static(
            model, target, Reader(), per_channel=True, op_types_to_quantize=["MatMul"],
            nodes_to_quantize=chosen, activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )  # fmt: skip
        return Made(target.read_bytes())


@contextmanager
def quiet_root() -> Iterator[None]:
    """ONNX Runtime's quantisation warns by the root logger that a fused graph were better."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


VARIANTS = (
    Variant(
        "openvino-int8-by-token",
        Running("openvino", precision="bf16", activation_group=GROUP),
        _int8_weights,
    ),
    Variant("openvino-int8-fixed", Running("openvino"), _openvino),
    Variant(
        "openvino-int8-fixed-mixed",
        Running("openvino", precision="bf16"),
        lambda source: _openvino(source, DOWN_AND_OUT),
    ),
    Variant("onnxruntime-int8-fixed", Running("onnxruntime"), _onnxruntime),
    Variant(
        "onnxruntime-int8-fixed-mixed",
        Running("onnxruntime"),
        lambda source: _onnxruntime(source, DOWN_AND_OUT),
    ),
    Variant("onnxruntime-fp16-cuda", Running("onnxruntime", device="cuda"), _fp16, "cuda"),
)


def runnable(variants: Sequence[Variant] = VARIANTS) -> tuple[Variant, ...]:
    """Those whose device this machine's ONNX Runtime can use."""
    import onnxruntime

    available = onnxruntime.get_available_providers()
    return tuple(one for one in variants if PROVIDERS[one.running.device] in available)
