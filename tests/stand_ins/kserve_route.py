"""KServe's own routes around a model that does nothing: `kserve_route quiet|as-shipped PORT`.

The baselines of `make bench-serving`: what KServe's server costs a request with none of our code.
As shipped it writes the three lines a request that it writes by default; quiet, it writes none.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

import uvicorn


def main(port: int, *, is_quiet: bool) -> None:
    from kserve import (
        Model,
        ModelServer,
        logging,
    )  # here, since other tests import KServe without its package
    from kserve.model_server import app
    from kserve.protocol.rest.server import RESTServer

    class Nothing(Model):  # type: ignore[misc]
        """Answers each instance with the same score."""

        def predict(self, payload: dict[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
            return {"predictions": [{"score": 0.01} for _ in payload["instances"]]}

    logging.configure_logging()
    logging.trace_logger.disabled = is_quiet
    model = Nothing("spam")
    model.load()
    model.enable_latency_logging = not is_quiet  # as `ModelServer.start` sets it by default
    server = ModelServer(http_port=port, registered_models=None, enable_grpc=False)
    server.registered_models.update(model)
    rest = RESTServer(
        "kserve.model_server:app", server.dataplane, server.model_repository_extension, port
    )
    rest.create_application()
    listener = socket.create_server(("127.0.0.1", port))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", file=sys.stderr, flush=True)
    config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=not is_quiet)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    number, mode = int(sys.argv.pop()), sys.argv.pop()
    main(number, is_quiet=mode == "quiet")
