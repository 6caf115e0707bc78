"""The one door to KServe: its application with our model in it, for `serving.hot_path` to front,
and its gRPC servicer and messages, for `serving.grpc_server` to front.

KServe brings what its users expect: liveness, readiness, metadata, the model repository's
load and unload, `/metrics`. Inference never reaches its routes.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from types import ModuleType
from typing import Any

from fastapi import Request, Response
from prometheus_client.exposition import choose_encoder

from serving.hot_path import Application
from serving.openapi import document
from serving.requests import INPUT_TENSOR, OUTPUT_DATATYPES, BadRequest
from serving.worker_metrics import Collects


@contextmanager
def _light_import() -> Iterator[None]:
    """Import KServe's modules without its package file, and without our arguments.

    The package file loads a Kubernetes client that a model server never calls (2.5 CPU-seconds
    and 70 MB of 5 and 220); `kserve.model_server` would read our `sys.argv`.
    """
    found = importlib.util.find_spec("kserve")
    if found is not None and found.submodule_search_locations and "kserve" not in sys.modules:
        package = ModuleType("kserve")
        package.__spec__, package.__path__ = found, found.submodule_search_locations
        sys.modules["kserve"] = package
    arguments, sys.argv = sys.argv, sys.argv[:1]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.argv = arguments


with _light_import():
    from kserve.errors import ModelNotFound, ModelNotReady
    from kserve.model import Model
    from kserve.model_repository import ModelRepository
    from kserve.model_server import ModelServer
    from kserve.model_server import app as kserve_app
    from kserve.protocol.dataplane import DataPlane
    from kserve.protocol.grpc import grpc_predict_v2_pb2
    from kserve.protocol.grpc.servicer import InferenceServicer
    from kserve.protocol.model_repository_extension import ModelRepositoryExtension
    from kserve.protocol.rest import server as kserve_rest
    from kserve.protocol.rest.server import RESTServer

messages: Any = grpc_predict_v2_pb2  # of the Open Inference Protocol over gRPC


class SpamModel(Model):  # type: ignore[misc]
    """What KServe tells about the model: its name, readiness and tensors."""

    def get_input_types(self) -> list[dict[str, Any]]:
        return [{"name": INPUT_TENSOR, "datatype": "BYTES", "shape": [-1]}]

    def get_output_types(self) -> list[dict[str, Any]]:
        return [
            {"name": name, "datatype": datatype, "shape": [-1]}
            for name, datatype in OUTPUT_DATATYPES.items()
        ]


class LoadedModels(ModelRepository):  # type: ignore[misc]
    """A repository whose models stay in memory: unload makes one unready, load brings it back."""

    def load(self, name: str) -> bool:
        """Raises KeyError for a name that is not here; `Repository` keeps those away."""
        return bool(self.models[name].load())

    def unload(self, name: str) -> None:
        """Raises KeyError, which KServe answers with 404, for a name that is not here."""
        self.models[name].stop()

    def has(self, model_name: str) -> bool:
        return model_name in self.models

    def is_ready(self, model_name: str) -> bool:
        return bool(self.models[model_name].ready)


class Repository(ModelRepositoryExtension):  # type: ignore[misc]
    """KServe's load, with 404 instead of 503 (try again) for a model that is not here."""

    async def load(self, model_name: str) -> None:
        if model_name not in self._model_registry.get_models():
            raise ModelNotFound(model_name)
        await super().load(model_name)


class Servicer(InferenceServicer):  # type: ignore[misc]
    """KServe's answers to every gRPC call but ModelInfer, which never reaches it.

    Its own load and unload read an answer that its repository does not give, and fail.
    """

    def __init__(self, models: LoadedModels):
        self._repository = Repository(models)
        super().__init__(DataPlane(models), self._repository)

    async def RepositoryModelLoad(self, request: Any, _context: object) -> Any:  # noqa: N802
        await self._repository.load(request.model_name)
        return messages.RepositoryModelLoadResponse(model_name=request.model_name, isLoaded=True)

    async def RepositoryModelUnload(self, request: Any, _context: object) -> Any:  # noqa: N802
        await self._repository.unload(request.model_name)
        return messages.RepositoryModelUnloadResponse(
            model_name=request.model_name, isUnloaded=True
        )


def kserve_application(
    model_name: str, port: int, shown: Collects
) -> tuple[Application, LoadedModels]:
    """KServe's REST application with one ready model, and the repository that holds it.

    Its `/metrics` shows what `shown` collects, for KServe knows only the process it runs in.
    KServe keeps its application in a module variable: build one a process. Its own server is
    not used, because it binds every interface and has no option for another.
    """
    _keep_quiet()
    warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")
    models = LoadedModels()
    model = SpamModel(model_name)
    model.load()
    models.update(model)
    server = ModelServer(http_port=port, registered_models=models, enable_grpc=False)
    rest = RESTServer("kserve.model_server:app", server.dataplane, Repository(models), port)
    kserve_rest.metrics_handler = _metrics_route(shown)
    rest.create_application()
    kserve_app.openapi = lambda: document(model_name)
    return kserve_app, models


def as_bad_request(error: Exception) -> BadRequest | None:
    """What KServe raises where a client asked for what is not here, or not ready."""
    if isinstance(error, ModelNotFound):
        return BadRequest(str(error)[:200], HTTPStatus.NOT_FOUND)
    if isinstance(error, ModelNotReady):
        return BadRequest(str(error)[:200], HTTPStatus.SERVICE_UNAVAILABLE)
    return None


def _metrics_route(shown: Collects) -> Callable[[Request], Response]:
    """Not a coroutine: Starlette then runs it in a thread, and verdicts need not wait for it."""

    def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(shown), headers={"content-type": content_type})

    return metrics


def _keep_quiet() -> None:
    """Warnings and errors to stderr, without the ones that a client caused by asking amiss."""
    for handler in logging.getLogger().handlers:  # `serving.logs` hides what they quote
        handler.addFilter(_not_the_clients_mistake)
    for name in ("kserve", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
        logger.setLevel(logging.WARNING)


def _not_the_clients_mistake(record: logging.LogRecord) -> bool:
    raised = record.exc_info[1] if record.exc_info else None
    return not isinstance(raised, (ModelNotFound, ModelNotReady, NotImplementedError))
