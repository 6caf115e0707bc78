"""ModelInfer's messages: a request as its JSON form would be, and an answer from verdicts.

Elements come as `contents.bytes_contents`, or as `raw_input_contents`, where each is preceded by
its length (4 bytes, little-endian): Open Inference Protocol, "Tensor Data" and "Raw Data".
"""

from __future__ import annotations

from typing import Any

from serving.cascade import Decision
from serving.hot_path import OUTPUTS
from serving.requests import OUTPUT_DATATYPES, BadRequest, InferRequest

_LENGTH_BYTES = 4


def as_json(message: Any) -> dict[str, Any]:
    """A ModelInferRequest as `serving.requests.infer_request` takes it. Raises BadRequest."""
    raw = message.raw_input_contents
    if raw and len(raw) != len(message.inputs):
        raise BadRequest(
            f"raw_input_contents has {len(raw)} entries for {len(message.inputs)} inputs; "
            "send one an input, or use contents.bytes_contents"
        )
    inputs = []
    for index, tensor in enumerate(message.inputs):
        if raw and tensor.HasField("contents"):
            raise BadRequest(
                f"inputs[{index}] has contents beside raw_input_contents; send one of them"
            )
        inputs.append({
            "name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape),
            "data": _elements(raw[index], index) if raw else list(tensor.contents.bytes_contents),
        })  # fmt: skip
    return {
        "id": message.id or None,
        "inputs": inputs,
        "outputs": [{"name": one.name} for one in message.outputs],
    }


def _elements(raw: bytes, index: int) -> list[bytes]:
    """The byte strings of one raw tensor.

    >>> _elements(bytes([2, 0, 0, 0]) + b"hi" + bytes(4), 0)
    [b'hi', b'']
    """
    found: list[bytes] = []
    at = 0
    while at < len(raw):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(raw[at:start], "little")
        if at > len(raw):
            raise BadRequest(
                f"raw_input_contents[{index}] ends within element {len(found)}; send each as its "
                "length (4 bytes, little-endian) and its bytes"
            )
        found.append(raw[start:at])
    return found


def fill_answer(
    answer: Any, request: InferRequest, decision: Decision, model_name: str, model_version: str
) -> None:
    """Write the verdicts into an empty ModelInferResponse, the outputs in the order asked for."""
    answer.model_name, answer.model_version = model_name, model_version
    for name in request.outputs:
        tensor = answer.outputs.add(
            name=name, datatype=OUTPUT_DATATYPES[name], shape=[len(decision.verdicts)]
        )
        for verdict in decision.verdicts:
            value = OUTPUTS[name](verdict)
            if isinstance(value, str):
                tensor.contents.bytes_contents.append(value.encode())
            else:
                tensor.contents.fp64_contents.append(value)
