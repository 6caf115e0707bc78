"""The OpenAPI document of a model server, as its routes answer: ours, and those that KServe keeps.

KServe's generated document knows neither our bodies nor our refusals. What a schema cannot say
stands in its description: the shape of a tensor, and what is in an event's JSON text.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from pydantic import TypeAdapter

from data_contracts.config import PRIORITIES
from data_contracts.events import Event
from data_contracts.verdicts import Verdict
from serving.request_origin import ARMS
from serving.requests import INPUT_TENSOR, OUTPUT_DATATYPES

Schema = dict[str, Any]
EVENT_FORMAT = "weir-event"  # a string that holds an event as JSON
_REFERENCE = "#/components/schemas/{model}"
_UNDER_THE_ROOT = r"^(?!/)(?!(.*/)?\.\.(/|$))"
_REFUSALS = {
    HTTPStatus.BAD_REQUEST: "the request is not what this model takes; the message says what is",
    HTTPStatus.UNAUTHORIZED: "no bearer token, or one that is not known here",
    HTTPStatus.NOT_FOUND: "no such model or version here",
    HTTPStatus.REQUEST_TIMEOUT: "the body did not arrive in time",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too long a body, or too many events in it",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "not plain JSON",
    HTTPStatus.TOO_MANY_REQUESTS: "the class is over its share; come again after Retry-After",
    HTTPStatus.INTERNAL_SERVER_ERROR: "the model failed",
    HTTPStatus.SERVICE_UNAVAILABLE: "shed on purpose (then with Retry-After), or not ready",
}
_WAITS = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_NAMED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND)


def document(model_name: str) -> Schema:
    """OpenAPI 3.1, for a server of this one model."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Weir model server",
            "version": "1",
            "description": "V1 and the Open Inference Protocol (V2) of one model.",
        },
        "security": [{}, {"bearer": []}],
        "paths": {**_inference(model_name), **_health(model_name), **_models(model_name)},
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _inference(model: str) -> Schema:
    infer = _infers("InferRequest", "InferResponse", [_in_path("model_name", model)])
    versioned = [_in_path("model_name", model), _in_path("model_version", "1")]
    return {
        "/v1/models/{model_name}:predict": _infers(
            "PredictRequest", "PredictResponse", [_in_path("model_name", model)]
        ),
        "/v2/models/{model_name}/infer": infer,
        "/v2/models/{model_name}/versions/{model_version}/infer": _infers(
            "InferRequest", "InferResponse", versioned
        ),
    }


def _health(model: str) -> Schema:
    """Open to all, with tokens or without."""
    named = [_in_path("model_name", model)]
    versioned = [*named, _in_path("model_version", "1")]
    ready = {"name": _STRING, "ready": {"const": True}}
    unready = (HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE)
    return {
        "/": _get(_object(status={"const": "alive"})),
        "/v2/health/live": _get(_object(live={"const": True})),
        "/v2/health/ready": _get(
            _object(ready={"type": "boolean"}), HTTPStatus.SERVICE_UNAVAILABLE
        ),
        "/v1/models/{model_name}": _get(_object(**ready), *unready, parameters=named),
        "/v2/models/{model_name}/ready": _get(_object(**ready), *unready, parameters=named),
        "/v2/models/{model_name}/versions/{model_version}/ready": _get(
            _object(**ready), *unready, parameters=versioned
        ),
    }


def _models(model: str) -> Schema:
    named = [_in_path("model_name", model)]
    versioned = [*named, _in_path("model_version", "1")]
    listed = _object(models=_list(_STRING))
    token = HTTPStatus.UNAUTHORIZED
    return {
        "/v1/models": _get(listed, token),
        "/v2/models": _get(listed, token),
        "/v2": _get(_object(name=_STRING, version=_STRING, extensions=_list(_STRING)), token),
        "/v2/models/{model_name}": _get(_ref("ModelMetadata"), *_NAMED, parameters=named),
        "/v2/models/{model_name}/versions/{model_version}": _get(
            _ref("ModelMetadata"), *_NAMED, parameters=versioned
        ),
        "/v2/repository/models/{model_name}/load": _changes("load", named),
        "/v2/repository/models/{model_name}/unload": _changes("unload", named),
        "/metrics": {
            "get": {
                "responses": {
                    "200": {
                        "description": "for Prometheus",
                        "content": {"text/plain": {}, "application/openmetrics-text": {}},
                    },
                    **_refusals(token),
                }
            }
        },
    }


def _infers(asked: str, answered: str, parameters: list[Schema]) -> Schema:
    headers = [
        _in_header("x-weir-priority", {"enum": list(PRIORITIES)}),
        _in_header("x-weir-deadline-milliseconds", {"type": "integer", "minimum": 1}),
        _in_header("x-weir-arm", {"enum": list(ARMS.values())}),
    ]
    answer = _answer(_ref(answered))
    answer["headers"] = {
        name: {"schema": _STRING, "required": True}
        for name in ("x-weir-model-version", "x-weir-arm")
    }
    return {
        "post": {
            "parameters": [*parameters, *headers],
            "requestBody": {
                "required": True, "content": {"application/json": {"schema": _ref(asked)}},
            },
            "responses": {"200": answer, **_refusals(*_REFUSALS)},
        }
    }  # fmt: skip


def _get(schema: Schema, *refusals: HTTPStatus, parameters: list[Schema] | None = None) -> Schema:
    responses = {"200": _answer(schema), **_refusals(*refusals)}
    return {"get": {"parameters": parameters or [], "responses": responses}}


def _changes(what: str, parameters: list[Schema]) -> Schema:
    """A route of the model repository; a body is read, bounded, and not looked at."""
    changed = _object(name=_STRING, **{what: {"const": True}})
    bounded = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    refusals = _refusals(*_NAMED, *bounded, HTTPStatus.SERVICE_UNAVAILABLE)
    return {"post": {"parameters": parameters, "responses": {"200": _answer(changed), **refusals}}}


def _answer(schema: Schema) -> Schema:
    return {"description": "the answer", "content": {"application/json": {"schema": schema}}}


def _refusals(*statuses: HTTPStatus) -> Schema:
    described: Schema = {}
    for status in statuses:
        described[str(status.value)] = {
            "description": _REFUSALS[status],
            "content": {"application/json": {"schema": _ref("Problem")}},
        }
        if status in _WAITS:
            described[str(status.value)]["headers"] = {
                "retry-after": {"schema": {"type": "integer"}}
            }
    return described


def _in_path(name: str, example: str) -> Schema:
    return {
        "name": name, "in": "path", "required": True, "example": example,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"},
    }  # fmt: skip


def _in_header(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "header", "required": False, "schema": schema}


def _schemas() -> Schema:
    event = Event.model_json_schema(ref_template=_REFERENCE)
    verdict = TypeAdapter(Verdict).json_schema(ref_template=_REFERENCE)
    parts = {**event.pop("$defs", {}), **verdict.pop("$defs", {})}
    media = parts["MediaReference"]["properties"]
    parts["MediaReference"] = {
        "oneOf": [_media(media, "bytes", "path"), _media(media, "path", "bytes")]
    }
    event["properties"]["context"]["propertyNames"] = {"minLength": 1, "maxLength": 64}
    return {
        **parts,
        "Event": event,
        "Verdict": verdict,
        "Problem": {
            "type": "object",
            "properties": {"error": _STRING, "detail": _STRING},
            "anyOf": [{"required": ["error"]}, {"required": ["detail"]}],
            "description": "`error` says cause and remedy; `detail` of a path that is none",
        },
        "PredictRequest": _object(instances=_list(_ref("Event"), minItems=1)),
        "PredictResponse": _object(predictions=_list(_ref("Prediction"), minItems=1)),
        "Prediction": _object(
            event_id=_STRING, score=_SCORE, action=_STRING, verdict=_ref("Verdict")
        ),
        "InferRequest": _infer_request(),
        "InferResponse": _object(
            model_name=_STRING, model_version=_STRING, id=_STRING,
            outputs=_list(_ref("OutputTensor"), minItems=1),
        ),
        "OutputTensor": _object(
            name={"enum": list(OUTPUT_DATATYPES)},
            shape=_list({"type": "integer"}, minItems=1, maxItems=1),
            datatype={"enum": sorted(set(OUTPUT_DATATYPES.values()))},
            data=_list({"type": ["number", "string"]}, minItems=1),
        ),
        "ModelMetadata": _object(
            name=_STRING, platform=_STRING,
            inputs=_list(_ref("TensorMetadata")), outputs=_list(_ref("TensorMetadata")),
        ),
        "TensorMetadata": _object(
            name=_STRING, datatype=_STRING, shape=_list({"type": "integer"})
        ),
    }  # fmt: skip


def _media(fields: Schema, source: str, other: str) -> Schema:
    """A media reference by one of its two sources; the other may stand there as null."""
    said = fields[source]["anyOf"][0]
    if source == "path":
        said = {**said, "pattern": _UNDER_THE_ROOT}
    media = _object(kind=fields["kind"], sha256=fields["sha256"], **{source: said})
    media["properties"][other] = {"type": "null"}
    return {**media, "additionalProperties": False}


def _infer_request() -> Schema:
    tensor = _object(
        name={"const": INPUT_TENSOR},
        datatype={"const": "BYTES"},
        shape={
            **_list({"type": "integer", "minimum": 1}, minItems=1, maxItems=1),
            "description": "[n] for n elements of data",
        },
        data=_list({"type": "string", "format": EVENT_FORMAT}, minItems=1),
    )
    outputs = _list(_object(name={"enum": list(OUTPUT_DATATYPES)}))
    request = _object(inputs=_list(tensor, minItems=1, maxItems=1))
    request["properties"] |= {"id": _STRING, "outputs": outputs}
    return request


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(items: Schema, **bounds: int) -> Schema:
    return {"type": "array", "items": items, **bounds}


def _ref(name: str) -> Schema:
    return {"$ref": _REFERENCE.format(model=name)}


_STRING: Schema = {"type": "string"}
_SCORE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
