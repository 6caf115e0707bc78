"""The reviewers' pages: sign in, the queue, one appeal, and the decision, by forms and keyboard.

| request | does |
|---|---|
| `GET`, `POST /review/sign-in`; `POST /review/sign-out` | a reviewer's token, kept by the browser |
| `GET /review?state=` | the queue, those that are due first |
| `GET /review/{id}` | one appeal |
| `POST /review/{id}/take`, `/release`, `/decide` | holds it, gives it back, decides for good |

Without a valid token everything leads to the sign-in. A form that is not from a page of ours is
refused with 403, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from serving.appeals.desk import Answer, Desk
from serving.appeals.forms import PAGE_HEADERS, Fields, Heard, fields_of
from serving.appeals.page import Shown, appeal_page, problem_page, queue_page, sign_in_page
from serving.appeals.sessions import WORD, Sessions

SIGN_IN, QUEUE = "/review/sign-in", "/review"
NO_TOKEN = 401
FORGED = "this form was not sent from here, or is too old; nothing was changed: try again"


@dataclass(frozen=True)
class ReviewPages:
    """`heard` asks the desk, and turns its errors into a status and what to do about it."""

    desk: Desk
    sessions: Sessions
    heard: Heard
    maximum_body_bytes: int

    def routes(self) -> list[Route]:
        one = "/review/{appeal_id}"
        return [
            Route(SIGN_IN, self._sign_in, methods=["GET", "POST"]),
            Route("/review/sign-out", self._sign_out, methods=["POST"]),
            Route(QUEUE, self._queue, methods=["GET"]),
            Route(one, self._appeal, methods=["GET"]),
            Route(f"{one}/take", self._step(self._take), methods=["POST"]),
            Route(f"{one}/release", self._step(self._release), methods=["POST"]),
            Route(f"{one}/decide", self._step(self._decide), methods=["POST"]),
        ]

    async def _sign_in(self, request: Request) -> Response:
        if request.method != "POST":
            return _page(sign_in_page())
        token = (await fields_of(request, self.maximum_body_bytes)).get("token", "").strip()
        status, said = await self._ask(lambda token, _: self._who(token), token)
        if status != 200:
            return _page(sign_in_page(said["error"]), status)
        answer = RedirectResponse(QUEUE, 303, PAGE_HEADERS)
        self.sessions.keep(request, answer, "review", token)
        return answer

    async def _sign_out(self, request: Request) -> Response:
        token = self.sessions.token(request, "review")
        fields = await fields_of(request, self.maximum_body_bytes)
        answer = RedirectResponse(SIGN_IN, 303, PAGE_HEADERS)
        if self.sessions.is_ours(request, token, fields.get(WORD, "")):
            self.sessions.forget(answer, "review")
        return answer

    async def _queue(self, request: Request) -> Response:
        token = self.sessions.token(request, "review")
        asked = {"state": request.query_params.get("state", "submitted")}
        status, said = await self._ask(lambda token, _: self.desk.listed(token, asked), token)
        if status == NO_TOKEN:
            return RedirectResponse(SIGN_IN, 303, PAGE_HEADERS)
        if status != 200:
            return _page(problem_page(said["error"]), status)
        reviewer, now = self.desk.proof.reviewer(token), self.desk.clock()
        word = self.sessions.word(token)
        return _page(queue_page(said, asked["state"], reviewer, word, now))

    async def _appeal(self, request: Request) -> Response:
        return await self._shown(request, str(request.path_params["appeal_id"]))

    async def _shown(
        self, request: Request, appeal_id: str, status: int = 200, error: str = "", reason: str = ""
    ) -> Response:
        token = self.sessions.token(request, "review")
        found, said = await self._ask(lambda token, _: self.desk.read(token, appeal_id), token)
        if found == NO_TOKEN:
            return RedirectResponse(SIGN_IN, 303, PAGE_HEADERS)
        if found != 200:
            return _page(problem_page(said["error"]), found)
        appeal = await run_in_threadpool(self.desk.store.find, appeal_id)
        shown = Shown(said, appeal.lease_expires_at if appeal else None, error, reason)
        reviewer, now = self.desk.proof.reviewer(token), self.desk.clock()
        return _page(appeal_page(shown, reviewer, self.sessions.word(token), now), status)

    def _step(self, act: Callable[[str, str, Fields], Answer]) -> Any:
        """A form's handler: `act` gets the token, the appeal and the fields."""

        async def step(request: Request) -> Response:
            appeal_id = str(request.path_params["appeal_id"])
            token = self.sessions.token(request, "review")
            fields = await fields_of(request, self.maximum_body_bytes)
            reason = fields.get("reason", "")
            if not self.sessions.is_ours(request, token, fields.pop(WORD, "")):
                return await self._shown(request, appeal_id, 403, FORGED, reason)
            status, said = await self._ask(lambda token, _: act(token, appeal_id, fields), token)
            if status == 200:
                return RedirectResponse(f"/review/{appeal_id}", 303, PAGE_HEADERS)
            return await self._shown(request, appeal_id, status, said["error"], reason)

        return step

    def _who(self, token: str) -> Answer:
        return 200, {"reviewer": self.desk.proof.reviewer(token)}

    def _take(self, token: str, appeal_id: str, _fields: Fields) -> Answer:
        return self.desk.take(token, appeal_id)

    def _release(self, token: str, appeal_id: str, _fields: Fields) -> Answer:
        reviewer, now = self.desk.proof.reviewer(token), self.desk.clock()
        return 200, {"appeal": self.desk.store.release(appeal_id, reviewer, now).id}

    def _decide(self, token: str, appeal_id: str, fields: Fields) -> Answer:
        given = {name: fields.get(name, "") for name in ("decision", "reason")}
        return self.desk.decide(token, appeal_id, given)

    async def _ask(
        self, ask: Callable[[str, Mapping[str, Any]], Answer], token: str
    ) -> tuple[int, dict[str, Any]]:
        status, said, _ = await run_in_threadpool(self.heard, ask, token, None)
        return status, said


def _page(content: str, status: int = 200) -> Response:
    return HTMLResponse(content, status, PAGE_HEADERS)
