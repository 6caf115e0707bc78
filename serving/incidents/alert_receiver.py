"""`python -m serving alerts`: the endpoint that Alertmanager reports to, and `/health`."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from data_contracts.config import Settings
from data_contracts.secrets import ALERTMANAGER_TOKEN, secret
from pipelines import alert_inbox
from pipelines.state import open_state
from serving.incidents.alertmanager import PATH, routes

GRACE_SECONDS = 5


def run(_arguments: argparse.Namespace, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    host, port = settings.serving.host, settings.alert_receiver.port
    print(f"alert receiver: http://{host}:{port}{PATH}", flush=True)
    uvicorn.run(
        application(settings), host=host, port=port, log_level="warning",
        timeout_graceful_shutdown=GRACE_SECONDS,
    )  # fmt: skip


def application(settings: Settings) -> Starlette:
    """On the configured state database; makes the inbox where it is missing."""
    engine = open_state(settings.state_url)
    alert_inbox.prepare(engine)
    token = secret(ALERTMANAGER_TOKEN, settings.home)
    health = Route("/health", _health)
    return Starlette(routes=[*routes(engine, token, lambda: datetime.now(UTC)), health])


def _health(_request: Request) -> Response:
    return JSONResponse({"healthy": True})
