"""The HTTP side: MLflow's webhook in, a clear answer out, and the reconciliation beside it.

| answer | when |
|---|---|
| 200 | the report was heard; `answer` says what followed |
| 400 | signed, but malformed: the field is named |
| 401 | no signature, a wrong one, or sent too long ago |
| 404, 405 | any other path or method |
| 409 | this delivery was here before |
| 413 | the body is over `approval.maximum_body_bytes` |
| 503 | MLflow, Airflow or the state database is down; MLflow sends the delivery again |
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.exc import OperationalError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from data_contracts.errors import BadInput, WeirError
from serving.approval.deliveries import Deliveries
from serving.approval.report import NotMlflow, Report, check, parse
from serving.approval.starter import Outcome, Starter
from serving.small_body import body_of
from training.gate_evidence import APPROVAL_TAG

PATH = "/webhooks/mlflow"
# MLflow sends the webhook before its plugin has written who set the tag: a no is asked again.
PATIENCE_SECONDS = 1.0
PAUSE_SECONDS = 0.1


@dataclass(frozen=True)
class Receiver:
    """Takes reports about one registered model; `say` gets a line for people."""

    model: str
    secret: str = field(repr=False)
    deliveries: Deliveries
    starter: Starter
    maximum_body_bytes: int
    clock: Callable[[], datetime]
    say: Callable[[str], None]
    sleep: Callable[[float], None] = time.sleep

    def app(self) -> Starlette:
        routes = [
            Route(PATH, self._webhook, methods=["POST"]),
            Route("/health", _health, methods=["GET"]),
        ]
        return Starlette(routes=routes)

    async def _webhook(self, request: Request) -> Response:
        body = await body_of(request, self.maximum_body_bytes)
        if body is None:
            return _said(413, f"the body is over {self.maximum_body_bytes} bytes")
        headers = {name: request.headers.get(name, "") for name in request.headers}
        return await run_in_threadpool(self.take, headers, body)

    def take(self, headers: dict[str, str], body: bytes) -> Response:
        """Answer one delivery; `headers` have lower-case names."""
        try:
            now = self.clock()
            delivery = check(headers, body, self.secret, now, self.deliveries.window)
            if not self.deliveries.take(delivery.id, delivery.sent_at, now):
                return self._refused(409, f"delivery {delivery.id} was here before")
            try:
                return self._heard(parse(body))
            except (WeirError, OperationalError) as error:
                if not isinstance(error, BadInput):
                    self.deliveries.give_back(delivery.id)
                raise
        except NotMlflow as error:
            return self._refused(401, str(error))
        except BadInput as error:
            return self._refused(400, str(error))
        except (WeirError, OperationalError) as error:
            return self._refused(503, _problem(error))

    def _heard(self, report: Report) -> Response:
        tag = report.data
        if (tag.name, tag.key) != (self.model, APPROVAL_TAG):
            return JSONResponse({"answer": "nothing to do", "detail": "another model or tag"})
        outcome = self._act_patiently(tag.version)
        self.say(str(outcome))
        return JSONResponse(
            {"answer": outcome.answer, "version": tag.version, "detail": outcome.detail}
        )

    def _act_patiently(self, version: str) -> Outcome:
        outcome = self.starter.act(version)
        for _ in range(round(PATIENCE_SECONDS / PAUSE_SECONDS)):
            if outcome.answer != "not approved":
                break
            self.sleep(PAUSE_SECONDS)
            outcome = self.starter.act(version)
        return outcome

    def _refused(self, status: int, why: str) -> Response:
        self.say(f"refused with {status}: {why}")
        return _said(status, why)


@dataclass
class Reconciliation:
    """Asks every `every` what no webhook told; the same news is said once."""

    starter: Starter
    every: timedelta
    say: Callable[[str], None]
    _said: list[str] = field(default_factory=list, init=False)

    def run(self, stop: threading.Event) -> None:
        """Until `stop`; the first time at once."""
        while True:
            self.once()
            if stop.wait(self.every.total_seconds()):
                return

    def once(self) -> None:
        try:
            news = [str(outcome) for outcome in self.starter.reconcile()]
        except (WeirError, OperationalError) as error:
            news = [f"asked in vain, will ask again: {_problem(error)}"]
        for line in news:
            if line not in self._said:
                self.say(line)
        self._said = news


async def _health(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


def _said(status: int, why: str) -> Response:
    return JSONResponse({"error": why}, status_code=status)


def _problem(error: WeirError | OperationalError) -> str:
    """SQLAlchemy's message has the statement with its values: only the database's own words."""
    if isinstance(error, OperationalError):
        return f"the state database does not answer: {str(error.orig).strip()}"
    return str(error)
