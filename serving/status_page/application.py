"""The HTTP side: GET only, but for the sign-in; every answer with a policy that lets no script in.

| request | answers |
|---|---|
| `GET /` | the status page |
| `GET /incidents/{number}` | one incident; 404 where there is none, 503 where it cannot be read |
| `GET /reports/{path}` | a page that another part wrote; 404 for all that is not served |
| `GET /health` | for all: whether this process answers, whatever the state of Weir |
| `GET`, `POST /sign-in` | where tokens are asked for |
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from data_contracts.config import Settings
from serving.incidents.playbooks import Playbooks
from serving.status_page.facts import Facts, Files
from serving.status_page.health import health
from serving.status_page.incident_facts import Case
from serving.status_page.needs import needs
from serving.status_page.page import incident_page, message_page, sign_in_page, status_page
from serving.status_page.sign_in import COOKIE, LIFETIME, SignIn
from serving.status_page.static_reports import POLICY, find
from serving.status_page.watching import problem_of

HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
LONGEST_FORM = 8192  # bytes of the sign-in
LARGEST_NUMBER = 2**31 - 1
Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Application:
    """`facts` is what is known now, `case` reads one incident, `hosts` are names that it has;
    `say` gets a line for people about what failed.
    """

    settings: Settings
    facts: Callable[[], Facts]
    case: Callable[[int], Case | None]
    playbooks: Callable[[], Playbooks | None]
    sign_in: SignIn
    say: Callable[[str], None]
    hosts: Sequence[str] = ("*",)

    def app(self) -> Starlette:
        """Every page but `/health` and the sign-in asks who looks."""
        routes = [
            Route("/", self._signed_in(self._status)),
            Route("/incidents/{number:int}", self._signed_in(self._incident)),
            Route("/reports/{path:path}", self._signed_in(self._report)),
            Route("/health", _health),
            Route("/sign-in", self._sign_in, methods=["GET", "POST"]),
        ]
        trusted = Middleware(TrustedHostMiddleware, allowed_hosts=list(self.hosts))
        return Starlette(routes=routes, middleware=[trusted])

    async def _status(self, _request: Request) -> Response:
        return _page(await run_in_threadpool(self._shown))

    def _shown(self) -> str:
        facts = self.facts()
        wanted = needs(facts, self.playbooks(), self.settings)
        return status_page(facts, health(facts, self.settings.status_page), wanted, self.settings)

    async def _incident(self, request: Request) -> Response:
        number = int(request.path_params["number"])
        if number > LARGEST_NUMBER:
            return _page(message_page("Not found", f"There is no incident {number}."), 404)
        try:
            case = await run_in_threadpool(self.case, number)
        except Exception as error:  # the database is down: say so, and go on
            what = f"Incident {number} is unknown: {problem_of(error)}"
            return _page(message_page("Cannot be read", what), 503)
        if case is None:
            return _page(message_page("Not found", f"There is no incident {number}."), 404)
        facts = self.facts()
        files = facts.files.value or Files()
        return _page(incident_page(case, self.playbooks(), files, facts.now, self.settings))

    async def _report(self, request: Request) -> Response:
        reports: Path = self.settings.reports
        found = await run_in_threadpool(find, reports, str(request.path_params["path"]))
        if found is None:
            return _page(message_page("Not found", "No such report is served here."), 404)
        return Response(
            found.content, media_type=found.kind,
            headers=HEADERS | {"content-security-policy": POLICY},
        )  # fmt: skip

    async def _sign_in(self, request: Request) -> Response:
        if request.method != "POST":
            return _page(sign_in_page(refused=False))
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > LONGEST_FORM:
                return _page(sign_in_page(refused=True), 413)
        token = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0]
        kept = self.sign_in.let_in(token)
        if kept is None:
            return _page(sign_in_page(refused=True), 401)
        answer = RedirectResponse("/", 303, HEADERS)
        # Lax, not Strict: a link in a pager's message must lead straight to the page, which
        # changes nothing whoever asks for it
        answer.set_cookie(
            COOKIE, kept, max_age=int(LIFETIME.total_seconds()), httponly=True, samesite="lax",
            secure=request.url.scheme == "https",
        )  # fmt: skip
        return answer

    def _signed_in(self, handler: Handler) -> Handler:
        async def asked(request: Request) -> Response:
            authorization = request.headers.get("authorization")
            if self.sign_in.may_look(authorization, request.cookies.get(COOKIE)):
                return await self._answered(handler, request)
            if authorization is not None:
                return _page(sign_in_page(refused=True), 401)
            return RedirectResponse("/sign-in", 303, HEADERS)

        return asked

    async def _answered(self, handler: Handler, request: Request) -> Response:
        """A page that cannot be made is unknown, and never an empty window at night."""
        try:
            return await handler(request)
        except Exception as error:
            self.say(f"{request.url.path} failed: {problem_of(error)}")
            what = f"This page failed ({type(error).__name__}); the log of status-page says where."
            return _page(message_page("Unknown", what), 500)


def _page(content: str, status: int = 200) -> Response:
    return HTMLResponse(content, status, HEADERS)


async def _health(_request: Request) -> Response:
    return JSONResponse({"healthy": True})
