"""`python -m serving metrics`: `/metrics` for Prometheus' job `weir-platform`, and `/health`."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import cache, partial

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from data_contracts.config import Settings
from data_contracts.secrets import AIRFLOW_APPROVAL_PASSWORD, secret
from pipelines.alert_inbox import METADATA as ALERT_INBOX
from pipelines.labelling.appeal_tables import METADATA as APPEALS
from pipelines.labelling.queue_tables import METADATA as LABEL_QUEUE
from pipelines.state import create_tables, open_state
from serving.approval.airflow import DagRuns
from serving.incidents.tables import METADATA as INCIDENTS
from serving.platform_metrics import sources
from serving.platform_metrics.gauges import Sample
from serving.platform_metrics.watching import Source, Watching
from serving.rollout.leadership import Leadership
from serving.rollout.store import RolloutStore
from serving.rollout.targets.local import data_plane, local_target

GRACE_SECONDS = 5


def run(_arguments: argparse.Namespace, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    ours, host = settings.platform_metrics, settings.serving.host
    watching = Watching(sources_of(settings), _now, _say)
    stop = threading.Event()
    beside = threading.Thread(target=watching.run, args=(stop, ours.refresh_seconds), daemon=True)
    beside.start()
    _say(f"platform metrics: http://{host}:{ours.port}/metrics")
    answering = application(watching, ours.refresh_seconds, model_servers(settings))
    try:
        uvicorn.run(
            answering, host=host, port=ours.port,
            log_level="warning", timeout_graceful_shutdown=GRACE_SECONDS,
        )  # fmt: skip
    finally:
        stop.set()
        beside.join(GRACE_SECONDS)


def sources_of(settings: Settings) -> dict[str, Source]:
    """Each source by name, on this configuration; makes tables that are missing."""
    engine = open_state(settings.state_url)
    RolloutStore(engine).prepare()
    Leadership(engine).prepare()
    for tables in (LABEL_QUEUE, APPEALS, INCIDENTS, ALERT_INBOX):
        create_tables(engine, tables)
    report = settings.reports / "monitoring" / "latest.json"
    return {
        "rollout": partial(sources.rollout, engine),
        "label_queue": partial(sources.label_queue, engine),
        "incidents": partial(sources.incidents, engine),
        "appeals": partial(sources.appeals, engine),
        "lake": partial(sources.lake_tables, settings.lake),
        "monitoring": partial(sources.monitoring_report, report),
        "airflow": _airflow(settings),
    }


def model_servers(settings: Settings) -> Callable[[], Sequence[str]]:
    """Asks for `host:port` of every model server of this machine's controller; none elsewhere."""
    if settings.rollout.target != "local":
        return list
    target = local_target(settings.serving, settings.home)
    plane = data_plane(settings.serving, settings.home)

    def servers() -> list[str]:
        deployed = target.deployed()
        return [plane.address(one) for slot in deployed for one in plane.servers_of(slot)]

    return servers


def application(
    watching: Watching, every_seconds: float, servers: Callable[[], Sequence[str]] = list
) -> Starlette:
    """`/metrics`, `/health`, and `/targets`: Prometheus' HTTP service discovery of local servers.

    https://prometheus.io/docs/prometheus/latest/http_sd/
    """
    registry = CollectorRegistry()
    registry.register(watching)

    def metrics(_request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    def health(_request: Request) -> Response:
        healthy = watching.is_healthy(every_seconds)
        return JSONResponse({"healthy": healthy}, status_code=200 if healthy else 503)

    def targets(_request: Request) -> Response:
        return JSONResponse([{"targets": list(servers())}])

    return Starlette(
        routes=[
            Route("/metrics", metrics), Route("/health", health), Route("/targets", targets),
        ]
    )  # fmt: skip


def _airflow(settings: Settings) -> Source:
    """Signs in once; where the secret is missing, only this source is down."""
    ours, signed_in = settings.approval, cache(DagRuns)

    def look(now: datetime) -> Iterable[Sample]:
        password = secret(AIRFLOW_APPROVAL_PASSWORD, settings.home)
        return sources.airflow(signed_in(ours.airflow_url, ours.airflow_user, password, "~"), now)

    return look


def _now() -> datetime:
    return datetime.now(UTC)


def _say(line: str) -> None:
    print(f"{datetime.now().astimezone():%H:%M:%S} {line}", flush=True)
