"""The one door to KServe: its application with our model in it, for `serving.hot_path` to front.

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
from types import ModuleType
from typing import Any

from fastapi import Request, Response
from prometheus_client.exposition import choose_encoder

from serving.hot_path import Application
from serving.requests import INPUT_TENSOR, OUTPUT_DATATYPES
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
    from kserve.protocol.rest import server as kserve_rest
    from kserve.protocol.rest.server import RESTServer


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
        """Raises KeyError, which KServe answers with 503, for a name that is not here."""
        return bool(self.models[name].load())

    def unload(self, name: str) -> None:
        """Raises KeyError, which KServe answers with 404, for a name that is not here."""
        self.models[name].stop()

    def has(self, model_name: str) -> bool:
        return model_name in self.models

    def is_ready(self, model_name: str) -> bool:
        return bool(self.models[model_name].ready)


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
    rest = RESTServer(
        "kserve.model_server:app", server.dataplane, server.model_repository_extension, port
    )
    kserve_rest.metrics_handler = _metrics_route(shown)
    rest.create_application()
    return kserve_app, models


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
