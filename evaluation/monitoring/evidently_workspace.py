"""Evidently's workspace: drift and quality as its own pages show them, run after run.

`add_snapshot` keeps what Evidently computed; `add_figures` keeps figures that Weir computed (they
weigh audit labels by their chance of being drawn, which Evidently's metrics cannot), each as the
mean of one value. The workspace holds aggregates only, never a row of an event, and only so many
runs of each project. `python -m evaluation workspace` serves it.

Served are reads alone: Evidently's service has no accounts, and would let any page in the same
browser change or delete projects. Its telemetry is off, and its page loads nothing from elsewhere.
"""

from __future__ import annotations

import argparse
import ipaddress
import logging
import os
import re
import uuid
import warnings
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

from data_contracts.config import Settings
from data_contracts.errors import ConfigurationError

FOLDER = "evidently"
DRIFT, QUALITY = "drift", "quality of decisions"  # projects
KEPT_RUNS = 336  # of a project, where no other number is given: two weeks of hourly ones
NAMESPACE = uuid.UUID("6f2b1e0c-5d0e-5c0b-9a53-0d7c4b8f7a10")  # project ids follow from names
NO_TELEMETRY = "DO_NOT_TRACK"  # Evidently's own switch
READS = ("GET", "HEAD")
HEALTH = "/health"
# a question with a body, which its page asks for every plot
QUESTION = re.compile(r"/api/v2/snapshots/[0-9a-f-]+/data_series_batch")
GRACE_SECONDS = 5
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def add_snapshot(home: Path, project: str, snapshot: Any, kept_runs: int = KEPT_RUNS) -> str:
    """Keep `snapshot` (what Evidently's `Report.run` returned) in the project; the run's id.

    The project is made where it is missing; of its runs the `kept_runs` newest are kept.
    """
    with _quiet_evidently():
        workspace = _workspace(home)
        identity = _project(workspace, project)
        added = workspace.add_run(identity, snapshot)
        _forget_old_runs(workspace, identity, kept_runs)
    return str(added.id)


def add_figures(
    home: Path, project: str, figures: Mapping[str, float], at: datetime,
    kept_runs: int = KEPT_RUNS,
) -> str | None:  # fmt: skip
    """Keep figures of the time `at`, each with a plot over time; None where there are none."""
    if not figures:
        return None
    with _quiet_evidently():
        import pandas as pd
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import MeanValue

        names = sorted(figures)
        frame = pd.DataFrame({name: [float(figures[name])] for name in names})
        definition = DataDefinition(numerical_columns=names)
        data = Dataset.from_pandas(frame, data_definition=definition)
        moment = at.astimezone(UTC).replace(tzinfo=None)  # Evidently compares times without a zone
        snapshot = Report([MeanValue(column=name) for name in names]).run(
            data, None, timestamp=moment
        )
        added = add_snapshot(home, project, snapshot, kept_runs)
        _show_over_time(_workspace(home), _identity(project), names)
    return added


def quality_figures(report: Mapping[str, Any]) -> dict[str, float]:
    """Of the hourly report (`evaluation.monitoring.monitor.observe`) what has enough evidence;
    quality is that of the version which most audit labels speak of.

    >>> quality_figures({"traffic": {"decisions": 5, "positive_rate": None}, "errors": None,
    ...                  "quality": {"versions": {"7": {"precision": {"value": 0.9},
    ...                      "recall": {"value": None}, "audit_labels": 40}}}})
    {'decisions': 5.0, 'precision': 0.9}
    """
    live, errors = report["traffic"], report["errors"] or {}
    found: dict[str, float | None] = {
        "decisions": live["decisions"],
        "positive rate": (live["positive_rate"] or {}).get("value"),
        "failed requests": (errors.get("share") or {}).get("value"),
    }
    versions = report["quality"]["versions"].values()
    judged: Mapping[str, Any] = max(versions, key=lambda one: int(one["audit_labels"]), default={})
    for name in ("precision", "recall", "false_positive_rate"):
        found[name.replace("_", " ")] = judged.get(name, {}).get("value")
    return {name: float(value) for name, value in found.items() if value is not None}


def run(_arguments: argparse.Namespace, settings: Settings) -> None:
    """Serve the workspace until SIGTERM or SIGINT. Raises ConfigurationError off loopback."""
    import uvicorn

    host, port = settings.serving.host, settings.evidently.port
    application = served(settings.home, host)
    print(f"Evidently: http://{host}:{port}, {settings.home / FOLDER}, telemetry off", flush=True)
    uvicorn.run(
        application, host=host, port=port, log_level="warning",
        timeout_graceful_shutdown=GRACE_SECONDS,
    )  # fmt: skip


def served(home: Path, host: str) -> Application:
    """Evidently's service over the home's workspace, for reading."""
    if not ipaddress.ip_address(host).is_loopback:
        raise ConfigurationError(
            f"serving.host {host!r} can be reached from other machines, and Evidently's service "
            "knows no users; listen on 127.0.0.1, and put a proxy that signs people in before it"
        )
    with _quiet_evidently():
        from evidently.ui.service.app import create_app, get_config

        _workspace(home)  # the folder, so that an empty one is shown as empty
        config = get_config(host=host, workspace=str(home / FOLDER))
        config.telemetry.enabled = False
        return reads_only(create_app(config))


def reads_only(application: Application) -> Application:
    """`application` for what only reads and asks for a name of loopback; all else is refused.

    A browser sends the name that a page asked for: another one is a page from elsewhere whose name
    was pointed here (DNS rebinding).
    """

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        if not (scope["method"] in READS or QUESTION.fullmatch(scope["path"])):
            await _say(send, 405, b"this workspace is served for reading only")
        elif scope["path"] == HEALTH:
            await _say(send, 200, b"ok")
        elif not _is_of_loopback(dict(scope["headers"]).get(b"host", b"")):
            await _say(send, 421, b"ask for 127.0.0.1 or localhost")
        else:
            await application(scope, receive, send)

    return guarded


def _is_of_loopback(host: bytes) -> bool:
    """
    >>> _is_of_loopback(b"127.0.0.1:8607"), _is_of_loopback(b"[::1]:1"), _is_of_loopback(b"a.com")
    (True, True, False)
    """
    name = host.decode("ascii", "replace").lower()
    name = name.partition("]")[0].lstrip("[") if name.startswith("[") else name.partition(":")[0]
    return name in ("127.0.0.1", "::1", "localhost")


async def _say(send: Send, status: int, what: bytes) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(what)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": what})


@contextmanager
def _quiet_evidently() -> Iterator[None]:
    """Without telemetry, and without what it prints, logs and warns of while it loads."""
    os.environ[NO_TELEMETRY] = "1"
    logging.getLogger("evidently").setLevel(logging.ERROR)
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        yield


def _workspace(home: Path) -> Any:
    from evidently.ui.workspace import Workspace

    return Workspace.create(str(home / FOLDER))


def _identity(project: str) -> uuid.UUID:
    return uuid.uuid5(NAMESPACE, project)


def _project(workspace: Any, name: str) -> uuid.UUID:
    """The same name is the same project, whichever process makes it first."""
    from evidently.sdk.models import ProjectModel

    identity = _identity(name)
    if workspace.get_project(identity) is None:
        workspace.add_project(ProjectModel(id=identity, name=name))
    return identity


def _show_over_time(workspace: Any, identity: uuid.UUID, names: Sequence[str]) -> None:
    """A plot for every figure that has none yet."""
    from evidently.sdk.models import DashboardPanelPlot, PanelMetric

    dashboard = workspace.get_project(identity).dashboard
    shown = {panel.title for panel in dashboard.model().panels}
    for name in names:
        if name not in shown:
            metric = PanelMetric(legend=name, metric="MeanValue", metric_labels={"column": name})
            dashboard.add_panel(
                DashboardPanelPlot(
                    title=name, size="half", values=[metric], plot_params={"plot_type": "line"}
                )
            )


def _forget_old_runs(workspace: Any, identity: uuid.UUID, kept: int) -> None:
    """By when they were added: their ids begin with that time (UUID version 7, RFC 9562)."""
    runs = sorted(workspace.list_runs(identity), key=lambda one: one.int)
    for run_id in runs[:-kept]:
        workspace.delete_run(identity, run_id)
