"""The HTTP side of appeals: JSON for the platform and for reviewers, and pages for people.

| request | who | does |
|---|---|---|
| `POST /appeals` `{event_id, statement}` | account | submits: 201, or 200 where it is known |
| `GET /appeals/{id}/status`, `POST /appeals/{id}/withdraw` | account | its own appeal |
| `GET /appeals?state=&limit=` | reviewer | lists, those that are due first |
| `GET /appeals/{id}`, `POST /appeals/{id}/take` | reviewer | reads, holds |
| `POST /appeals/{id}/decide` `{decision, reason}` | reviewer | `uphold` or `overturn` |
| `GET /success` | reviewer | how often appeals succeed, by reason and slice |
| `GET /`, `POST /` | account | its page: see `account_pages` |
| `GET /review` and below | reviewer | the queue and the decision in a browser: see `review` |
| `GET /health` | everybody | |

400 names field, value and remedy; 401 no valid token; 404 not known, or somebody else's; 409 the
appeal stands elsewhere; 413 the body is too large; 429 too often, with Retry-After; 503 the state
database is down. What users write is in no answer to anybody else, and in no log.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy.exc import OperationalError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from data_contracts.errors import BadInput, ServiceUnavailable, WeirError
from pipelines.labelling.appeal_records import AppealRefused, Refusal
from serving.appeals.account_pages import AccountPages
from serving.appeals.desk import Desk
from serving.appeals.forms import Ask
from serving.appeals.proof import NoProof
from serving.appeals.review import ReviewPages
from serving.appeals.sessions import Sessions
from serving.small_body import body_of

STATUS_OF: Mapping[Refusal, int] = {
    "unknown": 404, "state": 409, "held": 409, "too_late": 409, "too_many": 429,
}  # fmt: skip


@dataclass(frozen=True)
class Application:
    """`say` gets a line for people about what failed here."""

    desk: Desk
    maximum_body_bytes: int
    say: Callable[[str], None]

    def app(self) -> Starlette:
        desk = self.desk

        def of(request: Request) -> str:
            return str(request.path_params["appeal_id"])

        async def submit(request: Request) -> Response:
            return await self._json(request, desk.submit)

        async def listed(request: Request) -> Response:
            return await self._ask(request, lambda token, _: desk.listed(token, _query(request)))

        async def read(request: Request) -> Response:
            return await self._ask(request, lambda token, _: desk.read(token, of(request)))

        async def status(request: Request) -> Response:
            return await self._ask(request, lambda token, _: desk.status(token, of(request)))

        async def withdraw(request: Request) -> Response:
            return await self._ask(request, lambda token, _: desk.withdraw(token, of(request)))

        async def take(request: Request) -> Response:
            return await self._ask(request, lambda token, _: desk.take(token, of(request)))

        async def decide(request: Request) -> Response:
            return await self._json(
                request, lambda token, given: desk.decide(token, of(request), given)
            )

        async def success(request: Request) -> Response:
            return await self._ask(request, lambda token, _: desk.success(token))

        one = "/appeals/{appeal_id}"
        routes = [
            Route("/appeals", submit, methods=["POST"]),
            Route("/appeals", listed, methods=["GET"]),
            Route(one, read, methods=["GET"]),
            Route(f"{one}/status", status, methods=["GET"]),
            Route(f"{one}/withdraw", withdraw, methods=["POST"]),
            Route(f"{one}/take", take, methods=["POST"]),
            Route(f"{one}/decide", decide, methods=["POST"]),
            Route("/success", success, methods=["GET"]),
            Route("/health", _health, methods=["GET"]),
        ]
        sessions, limit = Sessions(desk.proof.key), self.maximum_body_bytes
        accounts = AccountPages(desk, sessions, self._heard, limit)
        reviewers = ReviewPages(desk, sessions, self._heard, limit)
        return Starlette(routes=[*routes, *accounts.routes(), *reviewers.routes()])

    async def _json(self, request: Request, ask: Ask) -> Response:
        body = await body_of(request, self.maximum_body_bytes)
        if body is None:
            return _answer(413, {"error": f"the body is over {self.maximum_body_bytes} bytes"})
        try:
            given = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            # orjson's message has a place in the body, and nothing of what it says
            return _answer(400, {"error": f"body: no JSON ({error.msg}); send a JSON object"})
        return await self._ask(request, ask, given)

    async def _ask(self, request: Request, ask: Ask, given: Any = None) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            token = ""
        return await run_in_threadpool(self._answered, ask, token.strip(), given)

    def _answered(self, ask: Ask, token: str, given: Any) -> Response:
        status, said, headers = self._heard(ask, token, given)
        return _answer(status, said, headers)

    def _heard(
        self, ask: Ask, token: str, given: Any
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        """The answer; every error of ours becomes a status and what to do about it."""
        try:
            return *ask(token, given), {}
        except NoProof as error:
            return 401, {"error": str(error)}, {"www-authenticate": 'Bearer realm="weir-appeals"'}
        except AppealRefused as error:
            wait = error.retry_after
            headers = {"retry-after": str(math.ceil(wait.total_seconds()))} if wait else {}
            return STATUS_OF[error.refusal], {"error": str(error)}, headers
        except BadInput as error:
            return 400, {"error": str(error)}, {}
        except (WeirError, OperationalError) as error:
            # SQLAlchemy's message has the statement with its values: it stays inside
            what = str(error) if isinstance(error, WeirError) else "the state database is down"
            self.say(f"could not answer: {what}")
            code = 503 if isinstance(error, (ServiceUnavailable, OperationalError)) else 500
            return code, {"error": "appeals cannot be heard now; ask again in a minute"}, {}


def _query(request: Request) -> dict[str, str]:
    return dict(request.query_params)


def _answer(
    status: int, said: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> Response:
    return Response(
        orjson.dumps(said), status, {"cache-control": "no-store", **(headers or {})},
        media_type="application/json",
    )  # fmt: skip


async def _health(_request: Request) -> Response:
    return _answer(200, {"status": "ok"})
