"""A throwaway PostgreSQL for tests: `WEIR_TEST_POSTGRES_URL`, or a cluster of this machine's own.

The cluster lives in a temporary folder, listens on a free loopback port, runs as an unprivileged
user, and is stopped at the end of the session. Every test gets an empty database in it.
Without a server the test is skipped and says what is missing.
"""

from __future__ import annotations

import itertools
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from data_contracts.errors import MissingPart
from tests.stand_ins.ports import free_port

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a server on which databases can be created."""
    given = os.environ.get("WEIR_TEST_POSTGRES_URL")
    if given:
        yield given
        return
    binaries = _binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL: apt-get install postgresql, or set WEIR_TEST_POSTGRES_URL")
    with cluster(binaries) as server:
        yield server.url


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of an empty database that is dropped after the test."""
    name = f"weir_test_{os.getpid()}_{next(_NUMBERS)}"
    server = make_url(postgres_server)
    address = server.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield server.set(drivername="postgresql+psycopg", database=name).render_as_string(
        hide_password=False
    )
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def state_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A test that takes this runs once on each database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state/weir.sqlite"
    url: str = request.getfixturevalue("postgres_url")
    return url


def _binaries() -> Path | None:
    """The newest folder with initdb: on PATH, or where Debian puts it."""
    found = shutil.which("initdb")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_major)
    return Path(found).parent if found else debian[-1].parent if debian else None


def _major(initdb: Path) -> int:
    return int(initdb.parts[-3]) if initdb.parts[-3].isdigit() else 0


class Cluster:
    """A PostgreSQL of its own in `folder`, which can be stopped and started again."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._user = _unprivileged_user()
        self._folder = folder
        password, data = secrets.token_hex(16), folder / "data"
        (folder / "password").write_text(password)
        if self._user is not None:
            for path in (folder, folder / "password"):
                os.chown(path, self._user.pw_uid, self._user.pw_gid)
        self._run(
            binaries / "initdb", "-D", data, "-U", "weir", "-A", "scram-sha-256", "-E", "UTF8",
            "--no-locale", "--no-sync", f"--pwfile={folder / 'password'}",
        )  # fmt: skip
        self._control = (binaries / "pg_ctl", "-D", data, "-w")
        port = free_port()
        self._options = (
            f"-h 127.0.0.1 -p {port} -c unix_socket_directories= -c fsync=off "
            "-c max_connections=60 -c shared_buffers=16MB"
        )
        self.url = f"postgresql+psycopg://weir:{password}@127.0.0.1:{port}/postgres"

    def start(self) -> None:
        self._run(*self._control, "-l", self._folder / "log", "-o", self._options, "start")

    def stop(self) -> None:
        self._run(*self._control, "-m", "immediate", "stop")

    def _run(self, *command: str | Path) -> None:
        _run(list(command), self._user, self._folder)


@contextmanager
def cluster(binaries: Path | None = None) -> Iterator[Cluster]:
    """A running one, gone afterwards."""
    found = binaries or _binaries()
    if found is None:
        raise MissingPart("no PostgreSQL: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="weir-postgresql-"))
    try:
        server = Cluster(found, folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged_user() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return pwd.getpwnam("postgres" if "postgres" in names else "nobody")


def _run(command: list[str | Path], user: pwd.struct_passwd | None, folder: Path) -> None:
    identity = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid}
    output = folder / "output"
    with output.open("wb") as file:  # a pipe would stay open in the server
        done = subprocess.run(
            [str(part) for part in command],
            cwd="/",
            stdout=file,
            stderr=file,
            timeout=60,
            check=False,
            extra_groups=[] if user is not None else None,
            **identity,
        )
    if done.returncode != 0:
        pytest.fail(f"{command[0]} failed: {output.read_text()[-800:]}")
