"""Ports for servers of tests."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path

LOWEST_PORT = 12_000
PORTS_GIVEN = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_ports(number: int) -> int:
    """The first of `number` neighbouring ports that are free now, and are nobody's by chance later.

    They lie below those that the system gives to outgoing connections: one of these could take a
    port before its server does. No seed chooses them: tests that run side by side would meet.
    """
    lowest_given = int(PORTS_GIVEN.read_text().split()[0]) if PORTS_GIVEN.is_file() else 32_768
    while True:
        first = LOWEST_PORT + secrets.randbelow(lowest_given - number - LOWEST_PORT)
        if all(_is_free(first + step) for step in range(number)):
            return first


def free_port() -> int:
    return free_ports(1)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
