"""The verb `serve`: one model server on one port, from the first check to the last record."""

from __future__ import annotations

import argparse
import asyncio
import errno
import gc
import re
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import uvicorn

from data_contracts.config import Serving, Settings
from data_contracts.errors import BadInput, MissingPart
from data_contracts.secrets import ACCOUNT_KEY, secret
from pipelines.state import open_state
from pipelines.switch_reader import SwitchReader
from serving.artefact import load_cascade
from serving.authentication import Authenticated
from serving.cascade import Cascade
from serving.decision_log import DecisionLog
from serving.enrichment import past_of
from serving.expected_work import ExpectedWork
from serving.exposure import Protection, open_protection
from serving.hot_path import Application, HotPath
from serving.logs import configure, say
from serving.meter import Meter
from serving.metrics import IN_FLIGHT, RECORDS_BUFFERED, RESTRAINTS, set_versions
from serving.restraints import HEEDED, HeededSwitches
from serving.tracing import open_tracing
from serving.verdict_service import VerdictService

if TYPE_CHECKING:
    from serving.grpc_server import GrpcServer
    from serving.predictor import LoadedModels

GRACE_SECONDS = 10  # for requests in flight when the server is asked to stop
KEEP_ALIVE_SECONDS = 75  # longer than a proxy keeps an idle connection
_SLOT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


def serve(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Take the port, load the model, answer until SIGTERM, write every record, return counts."""
    if not _SLOT.fullmatch(arguments.slot):
        raise BadInput(
            f"--slot {arguments.slot!r}: use letters, digits, - and _, at most 63; it names files"
        )
    listener = take_port(settings.serving.host, arguments.port)
    with listener:
        # what is wrong with it is told before a model is loaded
        open_protection(listener.getsockname()[0], settings.serving)
        meter = Meter()
        cascade = load_cascade(arguments.model, settings, arguments.version, meter)
        return serve_cascade(cascade, listener, arguments.slot, settings, meter)


def serve_cascade(
    cascade: Cascade,
    listener: socket.socket,
    slot: str,
    settings: Settings,
    meter: Meter | None = None,
) -> dict[str, Any]:
    """Answer on `listener` until SIGTERM or SIGINT; then finish what has begun."""
    from serving.predictor import kserve_application  # seconds of imports, after quick checks

    host, port = listener.getsockname()[:2]
    protection = open_protection(host, settings.serving)
    configure(settings.observability.log_format, settings.observability.log_level)
    meter, tracing = meter or Meter(), open_tracing(settings.observability, slot)
    set_versions(cascade.model_version, cascade.threshold_version)
    switches = HeededSwitches(_switch_reader(settings, slot))
    cascade = replace(cascade, held=switches)
    meter.watch(RESTRAINTS.labels("prefilter_only"), lambda: float(switches().prefilter_only))
    meter.watch(RESTRAINTS.labels("threshold_shift"), lambda: switches().threshold_shift)
    meter.watch(RESTRAINTS.labels("classes_shed"), lambda: float(len(switches().shares)))
    decision_log = DecisionLog(settings.home / "decisions", slot)
    meter.watch(RECORDS_BUFFERED, lambda: decision_log.buffered_bytes)
    past = past_of(settings, cascade, meter)
    service = VerdictService(
        cascade, decision_log, settings.serving, _expected_work(cascade, settings),
        _account_hash(settings), past, meter,
    )  # fmt: skip
    application, models = kserve_application(settings.serving.model_name, port, meter)
    front = HotPath(service, models, application, settings.serving, meter=meter, tracing=tracing)
    rpc = _grpc_server(service, models, settings.serving, protection, meter, tracing)
    meter.watch(IN_FLIGHT, lambda: front.in_flight + (rpc.in_flight if rpc else 0))
    decision_log.start()
    meter.start()
    past.start()
    switches.start()
    _collect_garbage_seldom()
    try:
        listen(listener)
        serves: Mapping[str, Any] = {
            "url": _url(host, port, protection), "model": settings.serving.model_name,
            "version": cascade.model_version, "slot": slot,
        }  # fmt: skip
        sentence = "{url} serves {model} version {version} in slot {slot}"
        server = _Server(
            _configuration(_guarded(front, protection, meter), protection),
            lambda: say(sentence, **serves),
            _GrpcPort(rpc, host, settings.serving.grpc_port or 0) if rpc else None,
        )
        with _signals_end_quietly():
            server.run(sockets=[listener])
    finally:
        service.close()
        switches.close()
        past.close()
        decision_log.close()
        meter.close()
        tracing.close()
    return {
        "model_version": cascade.model_version,
        "slot": slot,
        "decisions": decision_log.written,
        "decisions_lost": decision_log.lost,
    }


def take_port(host: str, port: int) -> socket.socket:
    """A socket bound to the address, not yet listening. Raises BadInput that says what to mend.

    Bound before the model is loaded, so that a busy port is known at once; a client is refused
    until `listen`, so that nobody waits on a server that is not ready.
    """
    if not 0 <= port <= 65_535:
        raise BadInput(f"--port {port} is out of range; give 1 to 65535, or 0 for a free one")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, OverflowError) as error:
        raise BadInput(f"serving.host {host!r} with port {port}: {error}; mend either") from None
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _port_problem(error, host, port) from None
    return listener


def listen(listener: socket.socket) -> None:
    """Start to accept connections. Raises BadInput where another server was faster."""
    try:
        listener.listen(1024)
    except OSError as error:
        host, port = listener.getsockname()[:2]
        raise _port_problem(error, host, port) from None


def _port_problem(error: OSError, host: str, port: int) -> BadInput:
    setting = "--port (rollout slots: serving.first_slot_port, WEIR__SERVING__FIRST_SLOT_PORT)"
    if error.errno == errno.EADDRINUSE:
        return BadInput(
            f"port {port} on {host} is in use; stop what listens there, or choose another {setting}"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return BadInput(f"serving.host {host!r} is no address of this machine; use 127.0.0.1")
    return BadInput(f"port {port} on {host}: {error.strerror}; choose another {setting}")


def _collect_garbage_seldom() -> None:
    """What was loaded stays; requests leave hardly a cycle behind, and a tenth of a small one's
    CPU went into looking for them."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _expected_work(cascade: Cascade, settings: Settings) -> ExpectedWork:
    """Of events, without the stages that run after an interactive answer."""
    interactive = settings.serving.admission.classes["interactive"]
    deferred = cascade.costs.afterwards(interactive.deadline_milliseconds / 1000)
    return ExpectedWork(settings.ensemble.stages, deferred)


def _switch_reader(settings: Settings, slot: str) -> SwitchReader:
    """Reader of the switches that incident response sets in the state database."""
    open_engine = partial(open_state, settings.state_url)
    name = f"model server {socket.gethostname()}/{slot}"
    return SwitchReader(open_engine, HEEDED, name, lambda: datetime.now(UTC))


def _account_hash(settings: Settings) -> Callable[[str], str] | None:
    """The keyed hash of accounts; None, said once, where there is no key."""
    try:
        key = secret(ACCOUNT_KEY, settings.home)
    except MissingPart as missing:
        say("accounts are left out: {why}", "warning", why=str(missing))
        return None
    from pipelines.accounts import hash_account

    return partial(hash_account, key=key)


def _grpc_server(
    service: VerdictService, models: LoadedModels, settings: Serving, *others: Any
) -> GrpcServer | None:
    if settings.grpc_port is None:
        return None
    from serving.grpc_server import GrpcServer

    return GrpcServer(service, models, settings, *others)


def _guarded(front: Application, protection: Protection, meter: Meter) -> Application:
    return front if protection.tokens is None else Authenticated(front, protection.tokens, meter)


def _url(host: str, port: int, protection: Protection) -> str:
    scheme = "http" if protection.tls is None else "https"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _configuration(application: Application, protection: Protection) -> uvicorn.Config:
    tls = protection.tls
    return uvicorn.Config(
        application,
        lifespan="off",
        ws="none",
        proxy_headers=False,  # nothing here asks who the client is
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        ssl_certfile=None if tls is None else tls.certificate,
        ssl_keyfile=None if tls is None else tls.key,
    )


class _GrpcPort(NamedTuple):
    server: GrpcServer
    host: str
    port: int


class _Server(uvicorn.Server):
    """Until a signal; then it ends when requests in flight are answered, REST and gRPC."""

    def __init__(
        self, config: uvicorn.Config, announce: Callable[[], None], grpc_port: _GrpcPort | None
    ):
        super().__init__(config)
        self._announce = announce
        self._grpc = grpc_port

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._grpc is not None:
            port = await self._grpc.server.start(self._grpc.host, self._grpc.port)
            say("{host}:{port} answers gRPC", host=self._grpc.host, port=port)
        self._announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._grpc is None:
            await super().shutdown(sockets)
            return
        await asyncio.gather(super().shutdown(sockets), self._grpc.server.stop(GRACE_SECONDS))


@contextmanager
def _signals_end_quietly() -> Iterator[None]:
    """uvicorn raises the signal that stopped it once more; a clean stop ends with exit 0."""
    before = {one: signal.signal(one, lambda *_: None) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
