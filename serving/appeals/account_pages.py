"""The page of an account: appeal, see where one's appeals stand, take one back.

The first appeal carries the platform's token in the form; the browser keeps it then, as for
reviewers. The platform's own page may post the same form with its user's token in it.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from serving.appeals.desk import Answer, Desk
from serving.appeals.forms import PAGE_HEADERS, Fields, Heard, fields_of, parsed
from serving.appeals.own_appeals import own_appeals
from serving.appeals.page import Visitor, account_page
from serving.appeals.sessions import WORD, Sessions
from serving.small_body import body_of

FORGED = "this form was not sent from here, or is too old; nothing was changed: try again"
SENT = (200, 201)


@dataclass(frozen=True)
class AccountPages:
    """`heard` asks the desk, and turns its errors into a status and what to do about it."""

    desk: Desk
    sessions: Sessions
    heard: Heard
    maximum_body_bytes: int

    def routes(self) -> list[Route]:
        return [
            Route("/", self._appeal, methods=["GET", "POST"]),
            Route("/withdraw", self._withdraw, methods=["POST"]),
            Route("/sign-out", self._sign_out, methods=["POST"]),
        ]

    async def _appeal(self, request: Request) -> Response:
        visitor = await run_in_threadpool(self._visitor, request)
        if request.method != "POST":
            return _page(account_page({}, None, visitor))
        body = await body_of(request, self.maximum_body_bytes)
        if body is None:
            return _page(account_page({}, (413, {"error": "that is too long"}), visitor), 413)
        fields = parsed(body)
        given = {name: fields.get(name, "") for name in ("event_id", "statement")}
        token = fields.get("token", "")
        if "token" not in fields and visitor.signed_in:
            token = self.sessions.token(request, "account")
            if not self.sessions.is_ours(request, token, fields.get(WORD, "")):
                return _page(account_page(given, (403, {"error": FORGED}), visitor), 403)
        status, said, headers = await run_in_threadpool(self.heard, self.desk.submit, token, given)
        answer = _page(account_page(given, (status, said), visitor), status, headers)
        if status in SENT:
            self.sessions.keep(request, answer, "account", token)
        return answer

    async def _withdraw(self, request: Request) -> Response:
        token = self.sessions.token(request, "account")
        fields = await fields_of(request, self.maximum_body_bytes)
        visitor = await run_in_threadpool(self._visitor, request)
        if not self.sessions.is_ours(request, token, fields.get(WORD, "")):
            return _page(account_page({}, (403, {"error": FORGED}), visitor), 403)
        appeal = fields.get("appeal", "")
        status, said, headers = await run_in_threadpool(
            self.heard, lambda token, _: self.desk.withdraw(token, appeal), token, None
        )
        if status in SENT:
            return RedirectResponse("/", 303, PAGE_HEADERS)
        return _page(account_page({}, (status, said), visitor), status, headers)

    async def _sign_out(self, request: Request) -> Response:
        token = self.sessions.token(request, "account")
        fields = await fields_of(request, self.maximum_body_bytes)
        answer = RedirectResponse("/", 303, PAGE_HEADERS)
        if self.sessions.is_ours(request, token, fields.get(WORD, "")):
            self.sessions.forget(answer, "account")
        return answer

    def _visitor(self, request: Request) -> Visitor:
        """Nobody where the token is over, or the database cannot say whose appeals there are."""
        token = self.sessions.token(request, "account")
        if not token:
            return Visitor()
        status, said, _ = self.heard(lambda token, _: self._own(token), token, None)
        if status != 200:
            return Visitor()
        return Visitor(True, self.sessions.word(token), said["own"])

    def _own(self, token: str) -> Answer:
        account = self.desk.proof.account(token)
        return 200, {"own": own_appeals(self.desk.effects.engine, account)}


def _page(content: str, status: int = 200, headers: Fields | None = None) -> Response:
    return HTMLResponse(content, status, {**PAGE_HEADERS, **(headers or {})})
