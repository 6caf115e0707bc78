"""What is missing is named before anything starts, with its remedy."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from data_contracts.config import load_settings
from data_contracts.errors import ConfigurationError, MissingPart
from infra.local.preflight import check_machine, check_ports
from infra.local.process import Process

HOST = "127.0.0.1"


def test_a_busy_port_names_the_service_and_the_setting() -> None:
    with socket.socket() as holder:
        holder.bind((HOST, 0))
        holder.listen()
        port = holder.getsockname()[1]
        service = Process(name="mlflow", argv=("x",), port=port, setting="local.mlflow_port")
        with pytest.raises(
            ConfigurationError, match=rf"{port} \(mlflow\).*WEIR__LOCAL__MLFLOW_PORT"
        ):
            check_ports([service], HOST)


def test_a_free_port_passes() -> None:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    check_ports([Process(name="mlflow", argv=("x",), port=port)], HOST)


def test_too_little_disk_names_the_figure_and_the_remedy(tmp_path: Path) -> None:
    settings = load_settings(
        {"WEIR_HOME": str(tmp_path / "home"), "WEIR__LOCAL__MINIMUM_FREE_DISK_GIB": "1e9"}
    )
    with pytest.raises(MissingPart, match=r"free disk.*GiB needed.*WEIR_HOME"):
        check_machine(settings)
