"""The bodies of the two inference protocols, checked: V1 `instances`, V2 tensor `event`.

Every problem becomes a `BadRequest` with the HTTP status, and a message that names the field,
the value's kind and the remedy, and never repeats what a user wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson

from data_contracts.errors import BadInput, ContractViolation
from data_contracts.events import Event, parse_event, parse_event_line

INPUT_TENSOR = "event"
OUTPUT_DATATYPES = {"score": "FP64", "action": "BYTES", "verdict": "BYTES"}
V1_EXAMPLE = '{"instances": [{"event_id": "e1", "text": "hello"}]}'
V2_EXAMPLE = (
    '{"inputs": [{"name": "event", "shape": [1], "datatype": "BYTES", '
    '"data": ["{\\"event_id\\": \\"e1\\", \\"text\\": \\"hello\\"}"]}]}'
)


class BadRequest(BadInput):
    """A request that can never succeed as it stands; `status` is its HTTP status."""

    def __init__(self, message: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST):
        self.status = status
        super().__init__(message)


@dataclass(frozen=True)
class InferRequest:
    """Checked events, and what only V2 has: the request id and the outputs asked for."""

    events: tuple[Event, ...]
    request_id: str | None = None
    outputs: tuple[str, ...] = ()


def parse_predict(body: bytes, maximum_batch: int) -> tuple[Event, ...]:
    """The events of a V1 body. Raises BadRequest."""
    instances = _object(body, V1_EXAMPLE).get("instances")
    if instances is None:
        raise BadRequest(f"instances is missing; send {V1_EXAMPLE}")
    if not isinstance(instances, list):
        raise BadRequest(f"instances is {_kind(instances)}, not a list; send {V1_EXAMPLE}")
    _check_batch("instances", len(instances), maximum_batch)
    return tuple(_event(raw, f"instances[{index}]") for index, raw in enumerate(instances))


def parse_infer(body: bytes, maximum_batch: int) -> InferRequest:
    """The events of a V2 body. Raises BadRequest."""
    return infer_request(_object(body, V2_EXAMPLE), maximum_batch)


def infer_request(request: dict[str, Any], maximum_batch: int) -> InferRequest:
    """The events of a V2 request, from JSON or from gRPC (then its data are bytes)."""
    request_id = request.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise BadRequest(f"id is {_kind(request_id)}, not a string; send a string or leave it out")
    data = _tensor_data(request.get("inputs"))
    _check_batch("inputs[0].data", len(data), maximum_batch)
    events = tuple(_event_text(raw, f"inputs[0].data[{i}]") for i, raw in enumerate(data))
    return InferRequest(events, request_id, _outputs(request.get("outputs")))


def _object(body: bytes, example: str) -> dict[str, Any]:
    try:
        decoded = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(
            f"the body ({len(body)} bytes) is not JSON: {error.msg} at position {error.pos}; "
            f"send {example}"
        ) from None
    if not isinstance(decoded, dict):
        raise BadRequest(f"the body is {_kind(decoded)}, not an object; send {example}")
    return decoded


def _check_batch(field: str, size: int, maximum: int) -> None:
    if size == 0:
        raise BadRequest(f"{field} is empty; send 1 to {maximum} events")
    if size > maximum:
        raise BadRequest(
            f"{field} holds {size} events; send at most {maximum} a request "
            "(serving.maximum_batch)",
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        )


def _event(raw: object, where: str) -> Event:
    if not isinstance(raw, dict):
        raise BadRequest(
            f'{where} is {_kind(raw)}, not an object; send {{"event_id": "…", "text": "…"}}'
        )
    try:
        return parse_event(raw, where=where)
    except ContractViolation as violation:
        raise BadRequest(str(violation)) from None


def _event_text(raw: object, where: str) -> Event:
    if isinstance(raw, str):
        raw = raw.encode()
    if not isinstance(raw, bytes):
        raise BadRequest(f"{where} is {_kind(raw)}, not a string; send each event as JSON text")
    try:
        return parse_event_line(raw, where=where)
    except ContractViolation as violation:
        raise BadRequest(str(violation)) from None


def _tensor_data(inputs: object) -> list[object]:
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise BadRequest(f"inputs must be a list of one tensor; send {V2_EXAMPLE}")
    tensor: dict[str, object] = inputs[0]
    _expect("inputs[0].name", tensor.get("name"), INPUT_TENSOR)
    _expect("inputs[0].datatype", tensor.get("datatype"), "BYTES")
    data = tensor.get("data")
    if not isinstance(data, list):
        raise BadRequest(f"inputs[0].data is {_kind(data)}, not a list; send {V2_EXAMPLE}")
    if tensor.get("shape") != [len(data)] or isinstance(_only(tensor.get("shape")), bool):
        raise BadRequest(
            f"inputs[0].shape does not match its {len(data)} elements; send [{len(data)}]"
        )
    return data


def _outputs(requested: object) -> tuple[str, ...]:
    """The names of the requested outputs, all of them where none are named."""
    if requested is None or requested == []:
        return tuple(OUTPUT_DATATYPES)
    if not isinstance(requested, list) or not all(isinstance(one, dict) for one in requested):
        raise BadRequest('outputs must be a list of objects; send [{"name": "score"}]')
    names = tuple(one.get("name") for one in requested)
    for index, name in enumerate(names):
        if not isinstance(name, str) or name not in OUTPUT_DATATYPES:
            raise BadRequest(
                f"outputs[{index}].name is not an output of this model; "
                f"ask for {', '.join(OUTPUT_DATATYPES)}"
            )
    return names


def _expect(field: str, value: object, expected: str) -> None:
    if value != expected:
        shown = repr(value[:40]) if isinstance(value, str) else _kind(value)
        raise BadRequest(f"{field} = {shown}: not what this model takes; send {expected!r}")


def _only(values: object) -> object:
    return values[0] if isinstance(values, Sequence) and len(values) == 1 else None


def _kind(value: object) -> str:
    """What JSON calls the type of a value.

    >>> _kind([]), _kind(None), _kind(1.5)
    ('a list', 'missing', 'a number')
    """
    if value is None:
        return "missing"
    names = {bool: "a boolean", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")
