"""The one door to engines that turn tokens into vectors: ONNX Runtime and OpenVINO, one thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from threading import Lock
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from data_contracts.errors import ConfigurationError
from pipelines.features.text.tokens import Batch, batches

Device = Literal["cpu", "cuda"]
Precision = Literal["f32", "bf16"]
Vectors = NDArray[np.float32]
Network = Callable[[], bytes]  # read at the first text
PROVIDERS: dict[Device, str] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class TokenEngine(Protocol):
    """`embed` gives float32[n, d], a vector a row of the batch."""

    def embed(self, batch: Batch) -> Vectors: ...


class OnnxRuntimeEngine:
    """ConfigurationError at the first text where the device's provider is not installed."""

    def __init__(self, network: Network, device: Device = "cpu") -> None:
        self.network = network
        self.device = device

    def embed(self, batch: Batch) -> Vectors:
        vectors: Vectors = self._session.run(None, batch.inputs)[0]
        return vectors

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        provider = provider_of(self.device, onnxruntime.get_available_providers())
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(self.network(), options, providers=[provider])


class OpenVinoEngine:
    """`precision` is that of what is not int8; a CPU without bf16 computes in f32 instead.

    `activation_group`: where weights are int8, so many neighbouring activations of one token
    share a scale, found as they come; 0 leaves activations in `precision`. No scale spans two
    tokens, so none depends on another text. `weights`: of an intermediate representation, which
    keeps them in a second file. Threads may share it, and take turns.
    """

    def __init__(
        self,
        network: Network,
        precision: Precision = "f32",
        activation_group: int = 0,
        weights: Network | None = None,
    ) -> None:
        self.network = network
        self.precision = precision
        self.activation_group = activation_group
        self.weights = weights
        self._turn = Lock()

    def embed(self, batch: Batch) -> Vectors:
        with self._turn:
            found = self._request.infer(batch.inputs)
            return np.array(found[0], np.float32)  # a copy: the request's memory is used again

    @cached_property
    def _request(self) -> Any:
        import openvino

        core = openvino.Core()
        given = self.network(), *([self.weights()] if self.weights else [])
        settings = {
            "INFERENCE_NUM_THREADS": 1,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": self.precision,
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": self.activation_group,
        }
        return core.compile_model(core.read_model(*given), "CPU", settings).create_infer_request()


def provider_of(device: Device, available: Sequence[str]) -> str:
    """ONNX Runtime's provider for a device; never a silent fall back to another."""
    if PROVIDERS[device] not in available:
        raise ConfigurationError(
            f"device {device!r} needs {PROVIDERS[device]}, and this onnxruntime has "
            f"{', '.join(available)}; serve a model whose encoder was trained with "
            "data.encoder_variant other than cuda, or install onnxruntime-gpu in place of "
            "onnxruntime"
        )
    return PROVIDERS[device]


def embed_all(engine: TokenEngine, tokens: Sequence[Sequence[int]], size: int) -> Vectors:
    """float32[n, d] of all texts, in their order, computed `size` at a time."""
    if not tokens:
        raise ValueError("no texts to embed; give at least one")
    parts = [(batch.rows, engine.embed(batch)) for batch in batches(tokens, size)]
    vectors = np.empty((len(tokens), parts[0][1].shape[1]), np.float32)
    for rows, part in parts:
        vectors[rows] = part
    return vectors
