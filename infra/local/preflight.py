"""Check what a command needs before it starts anything, and say how to mend what is missing."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterable
from pathlib import Path

import psutil

from data_contracts.config import PROJECT, Settings
from data_contracts.errors import ConfigurationError, MissingPart
from infra.local.process import Process

GIB = 2**30


def check_machine(
    settings: Settings, environments: Iterable[str] = (".venv", ".venv-airflow")
) -> None:
    """Environments, disk and memory. Raises MissingPart with the remedy."""
    for environment in environments:
        if not (PROJECT / environment / "bin" / "python").exists():
            raise MissingPart(f"{environment} is missing; run `make setup`")
    _at_least(
        "free disk under the Weir home",
        shutil.disk_usage(_existing(settings.home)).free / GIB,
        settings.local.minimum_free_disk_gib,
        "free some space, or set WEIR_HOME to a larger disk",
    )
    _at_least(
        "available memory",
        psutil.virtual_memory().available / GIB,
        settings.local.minimum_memory_gib,
        "close other programs, or lower local.minimum_memory_gib at your own risk",
    )


def check_ports(processes: Iterable[Process], host: str) -> None:
    """Raise ConfigurationError that names every busy port, its holder and the setting."""
    busy = [
        f"port {process.port} ({process.name}) is held by {_holder(process.port)}; "
        f"stop that, or set {_variable(process.setting)} to a free port"
        for process in processes
        if process.port is not None and _is_busy(host, process.port)
    ]
    if busy:
        raise ConfigurationError("\n  ".join(busy))


def _at_least(what: str, measured: float, needed: float, remedy: str) -> None:
    if measured < needed:
        raise MissingPart(f"{what}: {measured:.1f} GiB, {needed:g} GiB needed; {remedy}")


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _is_busy(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def _holder(port: int | None) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass
    return "another program"


def _variable(setting: str | None) -> str:
    return "WEIR__" + (setting or "").upper().replace(".", "__")
