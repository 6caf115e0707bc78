"""A private Rspamd: its shipped rules and a Bayes classifier, loopback only, gone when done.

Nothing leaves the machine: names are asked of a closed port, and the modules that live off other
servers are off. The Bayes statistics are in a Redis of its own.
"""

from __future__ import annotations

import http.client
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
import psutil

from data_contracts.errors import MissingPart

PROGRAMS = ("rspamd", "redis-server")
SECONDS_TO_START = 120.0
NETWORK_MODULES = (
    "antivirus", "arc", "asn", "bimi", "dkim", "dkim_signing", "dmarc", "emails",
    "external_services", "fuzzy_check", "greylist", "history_redis", "mx_check", "neural", "p0f",
    "phishing", "ratelimit", "rbl", "replies", "reputation", "rspamd_update", "spf", "surbl",
    "url_redirector",
)  # fmt: skip
BAYES = ("BAYES_SPAM", "BAYES_HAM")
_MAIN = """
.include "$CONFDIR/common.conf"
options {{ pidfile = "{folder}/rspamd.pid"; .include "$CONFDIR/options.inc"
  .include(priority=1,duplicate=merge) "$LOCAL_CONFDIR/local.d/options.inc" }}
logging {{ type = "file"; filename = "{folder}/rspamd.log"; level = "warning"; }}
worker "normal" {{ bind_socket = "127.0.0.1:{scan}"; count = 1; task_timeout = 60s; }}
worker "controller" {{ bind_socket = "127.0.0.1:{learn}"; count = 1; secure_ip = "127.0.0.1"; }}
"""
_OPTIONS = """
dns {{ nameserver = ["127.0.0.1:{closed}"]; timeout = 0.1s; retransmits = 1; }}
filters = "chartable,regexp"; disable_monitoring = true;
"""
_CLASSIFIER = """
backend = "redis"; servers = "127.0.0.1:{redis}"; cache {{ servers = "127.0.0.1:{redis}"; }}
min_learns = 1; learn_condition = "return function() return true end";
"""


@dataclass(frozen=True)
class Rspamd:
    """Ports on loopback, and the processes whose CPU counts."""

    scan: int
    learn: int
    redis: int
    worker: psutil.Process
    store: psutil.Process

    def forget(self) -> None:
        """As never taught."""
        with socket.create_connection(("127.0.0.1", self.redis)) as connection:
            connection.sendall(b"FLUSHALL\r\n")
            connection.recv(64)

    def teach(self, mails: Sequence[bytes], are_spam: Sequence[bool]) -> None:
        """Every mail once; one without enough words teaches nothing, as Rspamd decides."""
        for mail, is_spam in zip(mails, are_spam, strict=True):
            _post(self.learn, "/learnspam" if is_spam else "/learnham", mail, {})

    def scores(self, mails: Sequence[bytes], symbols: Sequence[str] = ()) -> list[float]:
        """Rspamd's total for each mail, of all its rules or of some symbols only."""
        chosen = orjson.dumps({"symbols_enabled": list(symbols)}).decode()
        headers = {"Settings": chosen} if symbols else {}
        return [float(_post(self.scan, "/checkv2", mail, headers)["score"]) for mail in mails]

    def seconds(self) -> tuple[float, float]:
        """CPU of the scanning worker and of Redis so far, user and system."""
        return _seconds(self.worker), _seconds(self.store)


@contextmanager
def private_rspamd() -> Iterator[Rspamd]:
    """MissingPart where a program is not installed; RuntimeError where it does not answer."""
    for program in PROGRAMS:
        if shutil.which(program) is None:
            raise MissingPart(f"{program} is not installed; `apt-get install {program}`")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weir-rspamd-")))
        scan, learn, redis, closed = _free_ports(4)
        _write(folder, scan=scan, learn=learn, redis=redis, closed=closed)
        store = stack.enter_context(_running(_redis_command(redis, folder), redis))
        main = stack.enter_context(_running(_rspamd_command(folder), scan))
        yield Rspamd(scan, learn, redis, _worker(main.pid), psutil.Process(store.pid))


def _write(folder: Path, **ports: int) -> None:
    local = folder / "local.d"
    local.mkdir()
    (folder / "rspamd.conf").write_text(_MAIN.format(folder=folder, **ports))
    (local / "options.inc").write_text(_OPTIONS.format(**ports))
    (local / "classifier-bayes.conf").write_text(_CLASSIFIER.format(**ports))
    for module in NETWORK_MODULES:
        (local / f"{module}.conf").write_text("enabled = false;\n")


def _redis_command(port: int, folder: Path) -> list[str]:
    return [
        "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "",
        "--appendonly", "no", "--dir", str(folder),
    ]  # fmt: skip


def _rspamd_command(folder: Path) -> list[str]:
    places = ("LOCAL_CONFDIR", "DBDIR", "RUNDIR", "LOGDIR")
    variables = [part for name in places for part in ("--var", f"{name}={folder}")]
    return ["rspamd", "-f", "-i", "-c", str(folder / "rspamd.conf"), *variables]


@contextmanager
def _running(command: Sequence[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server that listens on the port; ended with all its children."""
    quiet = subprocess.DEVNULL
    server = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet)
    try:
        _wait(server, command[0], port)
        yield server
    finally:
        family = [*psutil.Process(server.pid).children(recursive=True)] if _alive(server) else []
        server.terminate()
        try:
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        for child in psutil.wait_procs(family, timeout=5)[1]:
            child.kill()


def _wait(server: subprocess.Popen[bytes], name: str, port: int) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while _alive(server) and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError(f"{name} did not listen on port {port} in {SECONDS_TO_START:g} s")


def _alive(server: subprocess.Popen[bytes]) -> bool:
    return server.poll() is None


def _worker(main: int) -> psutil.Process:
    """The scanning worker: it names itself once it is ready."""
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        for child in psutil.Process(main).children():
            if any("normal process" in part for part in child.cmdline()):
                return child
        time.sleep(0.1)
    raise RuntimeError("rspamd started no worker; see its log")


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _post(port: int, path: str, body: bytes, headers: dict[str, str]) -> dict[str, object]:
    """One request, since Rspamd closes the connection after each."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", path, body, headers)
        said = connection.getresponse().read()
    finally:
        connection.close()
    found: dict[str, object] = orjson.loads(said) if said else {}
    return found


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
