"""The one door to engines that turn tokens into vectors: ONNX Runtime and OpenVINO, one thread."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from data_contracts.errors import ConfigurationError
from pipelines.features.text.tokens import batches

Device = Literal["cpu", "cuda"]
Precision = Literal["f32", "bf16"]
Tokens = NDArray[np.int64]
Vectors = NDArray[np.float32]
PROVIDERS: dict[Device, str] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class TokenEngine(Protocol):
    """`embed` gives float32[n, d] for `ids`, `mask` int64[n, t]."""

    def embed(self, ids: Tokens, mask: Tokens) -> Vectors: ...


class OnnxRuntimeEngine:
    """ConfigurationError at the first text where the device's provider is not installed."""

    def __init__(self, path: Path, device: Device = "cpu") -> None:
        self.path = path
        self.device = device

    def embed(self, ids: Tokens, mask: Tokens) -> Vectors:
        vectors: Vectors = self._session.run(None, {"ids": ids, "mask": mask})[0]
        return vectors

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        provider = provider_of(self.device, onnxruntime.get_available_providers())
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(str(self.path), options, providers=[provider])


class OpenVinoEngine:
    """`precision` is that of what is not int8; a CPU without bf16 computes in f32 instead."""

    def __init__(self, path: Path, precision: Precision = "f32") -> None:
        self.path = path
        self.precision = precision

    def embed(self, ids: Tokens, mask: Tokens) -> Vectors:
        found = self._request.infer({"ids": ids, "mask": mask})
        return np.array(found[0], np.float32)  # a copy: the request's own memory is used again

    @cached_property
    def _request(self) -> Any:
        import openvino

        settings = {
            "INFERENCE_NUM_THREADS": 1,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": self.precision,
        }
        return openvino.Core().compile_model(self.path, "CPU", settings).create_infer_request()


def provider_of(device: Device, available: Sequence[str]) -> str:
    """ONNX Runtime's provider for a device; never a silent fall back to another."""
    if PROVIDERS[device] not in available:
        raise ConfigurationError(
            f"device {device!r} needs {PROVIDERS[device]}, and this onnxruntime has "
            f"{', '.join(available)}; use cpu, or install onnxruntime-gpu in place of onnxruntime"
        )
    return PROVIDERS[device]


def embed_all(engine: TokenEngine, tokens: Sequence[Sequence[int]], size: int) -> Vectors:
    """float32[n, d] of all texts, in their order, computed `size` at a time."""
    if not tokens:
        raise ValueError("no texts to embed; give at least one")
    parts = [(batch.rows, engine.embed(batch.ids, batch.mask)) for batch in batches(tokens, size)]
    vectors = np.empty((len(tokens), parts[0][1].shape[1]), np.float32)
    for rows, part in parts:
        vectors[rows] = part
    return vectors
