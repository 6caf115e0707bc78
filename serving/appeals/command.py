"""`python -m serving appeals`: hear appeals, and carry out what was decided, until SIGTERM."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import uvicorn
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from data_contracts.alerts import Alert
from data_contracts.config import Appeals, Settings
from data_contracts.errors import WeirError
from data_contracts.secrets import ACCOUNT_KEY, APPEALS_KEY, secret
from pipelines import alert_inbox
from pipelines.labelling.appeal_records import AppealLimits
from pipelines.labelling.appeals import AppealStore
from pipelines.state import open_state
from serving.appeals.application import Application
from serving.appeals.contested import Verdicts
from serving.appeals.desk import Desk
from serving.appeals.effects import Effects
from serving.appeals.pace import Pace
from serving.appeals.proof import Proof
from serving.appeals.reversals import EnforcementSink, PlatformWebhook, RecordedOnly, Reversals

GRACE_SECONDS = 5
OVERDUE = "AppealsOverdue"
ALERT_EVERY = timedelta(hours=1)  # an alert that holds is put again, so that it stays open
Clock = Callable[[], datetime]


def run(_arguments: argparse.Namespace, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    engine = open_state(settings.state_url)
    desk = desk_of(settings, engine)
    alert_inbox.prepare(engine)
    stop = threading.Event()
    beside = threading.Thread(target=_settle, args=(desk, engine, settings, stop), daemon=True)
    host, port = settings.serving.host, settings.appeals.port
    _say(f"http://{host}:{port}; reversals go to {settings.appeals.webhook_url or 'the ledger'}")
    beside.start()
    application = Application(desk, settings.appeals.maximum_body_bytes, _say)
    try:
        uvicorn.run(
            application.app(), host=host, port=port, log_level="warning", access_log=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )  # fmt: skip
    finally:
        stop.set()
        beside.join(GRACE_SECONDS)


def desk_of(settings: Settings, engine: Engine, clock: Clock | None = None) -> Desk:
    """On the configured home and state database; makes missing tables."""
    now = clock or _now
    store = store_of(settings.appeals, engine)
    reversals = Reversals(engine, sink_of(settings, now), now)
    reversals.prepare()
    verdicts = verdicts_of(settings)
    proof = Proof(secret(APPEALS_KEY, settings.home), secret(ACCOUNT_KEY, settings.home), now)
    effects = Effects(store, engine, verdicts, reversals, now, _say)
    ours = settings.appeals
    return Desk(
        store, verdicts, proof, effects, Pace(now), ours.maximum_statement_characters, now,
        lambda: now() - timedelta(days=ours.success_days),
    )  # fmt: skip


def store_of(ours: Appeals, engine: Engine) -> AppealStore:
    """The store with the configured limits, its tables made."""
    store = AppealStore(
        engine,
        AppealLimits(
            timedelta(days=ours.window_days),
            timedelta(hours=ours.review_hours),
            timedelta(hours=ours.lease_hours),
            ours.per_account_per_day,
        ),
    )
    store.prepare()
    return store


def verdicts_of(settings: Settings) -> Verdicts:
    window = timedelta(days=settings.appeals.window_days)
    return Verdicts(settings.home / "decisions", settings.lake, window)


def sink_of(settings: Settings, clock: Clock) -> EnforcementSink:
    """The platform's webhook where one is configured."""
    url = settings.appeals.webhook_url
    if url is None:
        return RecordedOnly()
    return PlatformWebhook(url, secret(APPEALS_KEY, settings.home), clock)


def alerts_of(desk: Desk, now: datetime) -> list[Alert]:
    """Where appeals succeed too often, and whether people wait for too long."""
    overdue = desk.store.overdue(now)
    late = Alert(
        name=OVERDUE, severity_hint="ticket", subject={"queue": "appeals"}, value=float(overdue),
        expected=0.0, low=None, high=None, at=now,
        reason=f"{overdue} appeals wait for longer than appeals.review_hours",
        likely_cause="too few reviewers, or a release that acts on too many: see `GET /success`",
    )  # fmt: skip
    return [*desk.rates().alerts(now), *([late] if overdue else [])]


def _settle(desk: Desk, engine: Engine, settings: Settings, stop: threading.Event) -> None:
    """Carries out what is owed, and says where appeals succeed too often; at once, and again."""
    told = datetime.min.replace(tzinfo=UTC)
    while True:
        try:
            desk.effects.carry_out()
            if _now() - told >= ALERT_EVERY:
                alert_inbox.put(engine, alerts_of(desk, _now()), _now())
                told = _now()
        except (WeirError, OperationalError) as error:
            # SQLAlchemy's message has the statement with its values
            what = str(error) if isinstance(error, WeirError) else "the state database is down"
            _say(f"settling waits: {what}")
        if stop.wait(settings.appeals.settle_seconds):
            return


def _now() -> datetime:
    return datetime.now(UTC)


def _say(message: str) -> None:
    print(f"appeals: {message}", flush=True)
