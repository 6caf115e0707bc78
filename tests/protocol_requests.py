"""Generated requests to a model server: REST by schemathesis from its own OpenAPI, gRPC by
hypothesis over the messages. Both mix what is right with what is almost, and what is not at all.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
from hypothesis import strategies as st

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import schemathesis
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        negative_data_rejection,
        positive_data_acceptance,
        response_headers_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

from data_contracts.config import PRIORITIES
from serving.openapi import EVENT_FORMAT
from serving.predictor import messages

SERVED = "spam"
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ACCEPTANCE = {
    schemathesis.GenerationMode.POSITIVE: positive_data_acceptance,
    schemathesis.GenerationMode.NEGATIVE: negative_data_rejection,
}
_UNLOAD = "/v2/repository/models/{model_name}/unload"  # of the served model would end the run

_characters = st.characters(exclude_categories=["Cs"])
_printed = st.characters(min_codepoint=32, exclude_categories=["Cs"])
_IMAGE = {"kind": "image", "sha256": "0" * 64, "path": "a.png"}
_text = st.text(_characters, max_size=200)
_event = st.fixed_dictionaries(
    {"event_id": st.text(_printed, min_size=1, max_size=128), "text": _text},
    optional={
        "account": st.text(_characters, min_size=1, max_size=256),
        "language": st.sampled_from(["en", "pt-BR", "zh-Hant"]),
        "occurred_at": st.datetimes().map(lambda at: at.isoformat() + "Z"),
        "media": st.lists(st.just(_IMAGE), max_size=3),
        "context": st.dictionaries(
            st.text(_characters, min_size=1, max_size=64),
            st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _text, max_size=4,
        ),
    },
)  # fmt: skip
event_json = _event.map(lambda event: orjson.dumps(event).decode())
schemathesis.openapi.format(EVENT_FORMAT, event_json)


def rest_cases(
    operation: Any, mode: schemathesis.GenerationMode, version: str
) -> st.SearchStrategy[Any]:
    """Requests to one operation; nine in ten name the model that is served, and its version."""
    anywhere = operation.as_strategy(generation_mode=mode)
    if operation.path == _UNLOAD:
        return anywhere.filter(lambda case: case.path_parameters.get("model_name") != SERVED)
    if not operation.path_parameters:
        return anywhere
    served = {"model_name": SERVED, "model_version": version}
    named = {one.name: served[one.name] for one in operation.path_parameters}
    aimed = operation.as_strategy(generation_mode=mode, path_parameters=named)
    return _one_in(10, anywhere, aimed).map(_with_the_right_shape)


def _with_the_right_shape(case: Any) -> Any:
    """What the schema cannot say: a tensor's shape is the number of its elements."""
    if isinstance(case.body, Mapping) and not _negated(case, "body") and "inputs" in case.body:
        tensor = case.body["inputs"][0]
        tensor["shape"] = [len(tensor["data"])]
    return case


def _negated(case: Any, place: str) -> bool:
    """Whether schemathesis made this part of the request wrong on purpose."""
    parts = {location.value: part for location, part in case.meta.components.items()}
    return place in parts and parts[place].mode is schemathesis.GenerationMode.NEGATIVE


def is_handled(status: int, headers: Mapping[str, str], body: bytes) -> bool:
    """A 5xx only where the request was shed on purpose, and the answer says when to come again.

    Nothing here unloads the served model, so "not ready" would be as wrong as a failure.
    """
    said = body.startswith(b'{"error":') and "retry-after" in headers
    return status < 500 or (status == 503 and said)


class Call(NamedTuple):
    """A gRPC call as bytes: what is sent need not be a message."""

    method: str
    payload: bytes
    metadata: tuple[tuple[str, str], ...]


def is_handled_code(code: Any) -> bool:
    """gRPC's own and a server's codes for what nobody foresaw."""
    return code.name not in ("UNKNOWN", "INTERNAL", "UNIMPLEMENTED", "DATA_LOSS")


def grpc_calls(version: str) -> st.SearchStrategy[Call]:
    """Mostly ModelInfer, mostly of the model that is served."""
    infer = st.builds(Call, st.just("ModelInfer"), _infer(version), _metadata)
    noise = st.builds(Call, st.just("ModelInfer"), st.binary(max_size=200), _metadata)
    others = st.builds(lambda drawn, metadata: Call(*drawn, metadata), _other(version), _metadata)
    return _one_in(3, st.one_of(noise, others), infer)


_metadata = st.fixed_dictionaries(
    {},
    optional={
        "x-weir-priority": st.sampled_from([*PRIORITIES, *PRIORITIES, "now", ""]),
        "x-weir-arm": st.sampled_from(["stable", "canary", "baseline", "stable", "green"]),
        "x-weir-deadline-milliseconds": st.sampled_from(["1", "50", "80", "250", "5000", "-1"]),
    },
).map(lambda found: tuple(found.items()))
_WRONG = ("model", "version", "shape", "tensors", "name", "datatype", "elements", "raw", "both",
          "ints", "none", "outputs")  # fmt: skip


def _one_in(
    number: int, seldom: st.SearchStrategy[Any], mostly: st.SearchStrategy[Any]
) -> st.SearchStrategy[Any]:
    """`one_of` would take both alike often, however often one of them is named."""
    return st.integers(1, number).flatmap(lambda drawn: seldom if drawn == number else mostly)


@st.composite
def _infer(draw: st.DrawFn, version: str) -> bytes:
    """Half of them right; the others are wrong in one place, or in two."""
    wrong = draw(st.just(frozenset()) | st.frozensets(st.sampled_from(_WRONG), max_size=2))

    def drawn(place: str, right: Any, others: st.SearchStrategy[Any]) -> Any:
        return draw(others) if place in wrong else right

    fine = draw(st.lists(event_json.map(str.encode), min_size=1, max_size=3))
    elements = drawn("elements", fine, st.lists(st.binary(max_size=50), max_size=3))
    request = messages.ModelInferRequest(
        model_name=drawn("model", SERVED, _text),
        model_version=drawn("version", draw(st.sampled_from(["", version])), _text),
        id=draw(st.just("") | _text),
    )
    raw = draw(st.booleans())
    for _ in range(drawn("tensors", 1, st.integers(0, 3))):
        tensor = request.inputs.add(
            name=drawn("name", "event", _text),
            datatype=drawn("datatype", "BYTES", st.sampled_from(["FP32", "INT64", ""])),
            shape=drawn("shape", [len(elements)], st.lists(_int64, max_size=3)),
        )
        if "both" in wrong or not (raw or "none" in wrong):
            tensor.contents.bytes_contents.extend(elements)
        if "ints" in wrong:
            tensor.contents.int_contents.extend([1, 2])
        if "both" in wrong or raw:
            packed = b"".join(len(one).to_bytes(4, "little") + one for one in elements)
            request.raw_input_contents.append(drawn("raw", packed, st.binary(max_size=30)))
    known = st.sampled_from(["score", "action", "verdict"])
    for name in draw(st.lists(_text if "outputs" in wrong else known, max_size=3)):
        request.outputs.add(name=name)
    return bytes(request.SerializeToString())


_int64 = st.integers(-(2**63), 2**63 - 1)


def _other(version: str) -> st.SearchStrategy[tuple[str, bytes]]:
    names = _one_in(4, _text, st.just(SERVED))
    named = st.sampled_from(["ModelReady", "ModelMetadata"])
    empty = st.sampled_from(["ServerLive", "ServerReady", "ServerMetadata"])
    asked = st.builds(
        lambda method, name, at: (
            method,
            getattr(messages, f"{method}Request")(name=name, version=at).SerializeToString(),
        ),
        named, names, st.sampled_from(["", version, "8"]),
    )  # fmt: skip
    load = names.map(
        lambda name: (
            "RepositoryModelLoad",
            messages.RepositoryModelLoadRequest(model_name=name).SerializeToString(),
        )
    )
    noise = st.tuples(st.one_of(named, empty), st.binary(max_size=50))
    return st.one_of(asked, st.tuples(empty, st.just(b"")), load, noise)
