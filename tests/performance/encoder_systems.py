"""What `make bench-encoders` compares: each turns texts into unit vectors, on one thread.

Everything is counted, tokenising too: all but the default encoder read the same `tokenizer.json`
and cut at the same number of tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.features.text.minilm import DIMENSIONS, HEADS, LAYERS
from pipelines.features.text.token_encoder import Running
from pipelines.features.text.token_engine import TokenEngine, embed_all
from pipelines.features.text.tokens import Tokeniser
from training.quantised_variants import VARIANTS, Made, Source, original, quiet_root

BATCH = 8
TORCH, TORCH_SORTED = "torch fp32", "torch fp32, sorted by length"
ORT_FP32, OPENVINO_FP32 = "ONNX Runtime fp32", "OpenVINO fp32"
ORT_DYNAMIC = "ONNX Runtime int8, range of a batch"

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class System:
    """`encode` is given eight texts or fewer; with `lengths`, those of like length together.

    `is_int8` marks what was made of the fp32 original and must stay close to it.
    """

    name: str
    encode: Callable[[Sequence[str]], Vectors]
    is_int8: bool = False
    lengths: Callable[[Sequence[str]], list[int]] | None = None

    def encode_all(self, texts: Sequence[str]) -> Vectors:
        """float32[n, d] in the texts' order, eight at a time as they come (or sorted)."""
        order = np.arange(len(texts))
        if self.lengths:
            order = np.argsort(self.lengths(texts), kind="stable")
        parts = [
            self.encode([texts[at] for at in order[start : start + BATCH].tolist()])
            for start in range(0, len(texts), BATCH)
        ]
        vectors: Vectors = np.concatenate(parts)
        return vectors[np.argsort(order)]


def systems(source: Source) -> Iterator[System]:
    """The original in four engines, int8 as a rival offers it, and Weir's variants for CPUs."""
    tokeniser = Tokeniser(source.tokeniser)
    torch = torch_encoder(source.weights, tokeniser)
    yield System(TORCH, torch)
    yield System(TORCH_SORTED, torch, lengths=lengths_by(tokeniser))

    def engine(name: str, made: Made, running: Running, **marks: bool) -> System:
        return System(name, _by_engine(made.open(running), tokeniser), **marks)

    fp32 = original(source)
    yield engine(ORT_FP32, fp32, Running("onnxruntime"))
    yield engine(OPENVINO_FP32, fp32, Running("openvino"))
    yield engine(ORT_DYNAMIC, _range_of_a_batch(source), Running("onnxruntime"), is_int8=True)
    for variant in VARIANTS:
        if variant.running.device == "cpu":
            made = variant.make(source)
            yield engine(variant.name, made, variant.running, is_int8=True)


def sorted_by_length(system: System, tokeniser: Tokeniser) -> System:
    """The same, where all texts are known beforehand."""
    lengths = lengths_by(tokeniser)
    return System(f"{system.name}, sorted by length", system.encode, lengths=lengths)


def lengths_by(tokeniser: Tokeniser) -> Callable[[Sequence[str]], list[int]]:
    """In tokens: in characters, languages would mix, and the baseline would pad more."""
    return lambda texts: [len(text) for text in tokeniser.tokens(texts)]


def torch_encoder(weights: Path, tokeniser: Tokeniser) -> Callable[[Sequence[str]], Vectors]:
    """sentence-transformers' way, by transformers: pad to the longest of the batch, then mean."""
    import torch
    from safetensors.torch import load_file
    from transformers import BertConfig, BertModel

    torch.set_num_threads(1)
    config = BertConfig(
        hidden_size=DIMENSIONS,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=4 * DIMENSIONS,
    )
    model = BertModel(config).eval()
    named = {
        name: tensor for name, tensor in load_file(weights).items() if "position_ids" not in name
    }
    model.load_state_dict(named)

    def encode(texts: Sequence[str]) -> Vectors:
        tokens = tokeniser.tokens(texts)
        ids = torch.zeros(len(texts), max(map(len, tokens)), dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for row, text in enumerate(tokens):
            ids[row, : len(text)] = torch.tensor(text)
            mask[row, : len(text)] = 1
        with torch.inference_mode():
            states = model(input_ids=ids, attention_mask=mask).last_hidden_state
            summed = (states * mask.unsqueeze(-1)).sum(1)
            vectors: Vectors = torch.nn.functional.normalize(summed).numpy()
        return vectors

    return encode


def _by_engine(engine: TokenEngine, tokeniser: Tokeniser) -> Callable[[Sequence[str]], Vectors]:
    return lambda texts: embed_all(engine, tokeniser.tokens(texts), BATCH)


def _range_of_a_batch(source: Source) -> Made:
    """ONNX Runtime's own dynamic quantisation: one range over all activations of a batch."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with TemporaryDirectory(prefix="weir-encoder-") as folder, quiet_root():
        target = Path(folder, "encoder.onnx")
        settings: dict[str, Any] = {"per_channel": True, "weight_type": QuantType.QInt8}
        quantize_dynamic(source.original, target, op_types_to_quantize=["MatMul"], **settings)
        return Made(target.read_bytes())
