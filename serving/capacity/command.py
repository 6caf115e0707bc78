"""The verb `plan`: from its arguments to a table, a record and a page."""

from __future__ import annotations

import argparse
import math
import sys
from typing import Any

from data_contracts.config import Settings
from data_contracts.errors import BadInput
from data_contracts.files import write_atomically
from serving.capacity.arrivals import Bursts
from serving.capacity.demand import read_mix
from serving.capacity.planning import Scenario, plan
from serving.capacity.report import print_report
from serving.capacity.service_times import SAMPLE, read_service_times
from serving.capacity.simulation import Precision
from serving.capacity.sizing import Limits, Zones

GATEWAY_RATE = 50_000  # verdicts a second through one gateway, where --gateways does not say


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any] | None:  # noqa: ARG001
    """Print the plan; its record is returned only where --result asks for a file."""
    times = read_service_times(arguments.service_times or SAMPLE)
    found = plan(scenario(arguments), times, _precision(arguments), _say)
    print_report(found)
    if arguments.html is not None:
        from serving.capacity.page import page  # matplotlib

        _say("drawing latency against load")
        write_atomically(arguments.html, page(found).encode())
        print(arguments.html)
    return found.as_record() if arguments.result is not None else None


def scenario(arguments: argparse.Namespace) -> Scenario:
    """Checked; BadInput names the argument that is wrong."""
    rate = arguments.verdicts_per_second
    return Scenario(
        verdicts_per_second=_within(arguments, "verdicts_per_second", 1, 1e9),
        mix=read_mix(arguments.mix),
        spam_share=_within(arguments, "spam_share", 0, 1),
        limits=Limits(
            _within(arguments, "p99_milliseconds", 0.001, 1e7),
            _within(arguments, "maximum_utilisation", 0.01, 0.99),
        ),
        zones=Zones(
            _whole(arguments, "zones", 1, 100), _within(arguments, "reaction_seconds", 1, 600)
        ),
        bursts=Bursts(
            _within(arguments, "burst_variation", 0, 3),
            _within(arguments, "burst_seconds", 0.01, 600),
        ),
        cores_per_pod=_whole(arguments, "cores_per_pod", 1, 1024),
        gateways=(
            math.ceil(rate / GATEWAY_RATE)
            if arguments.gateways is None
            else _whole(arguments, "gateways", 1, 10_000)
        ),
        way_milliseconds=_within(arguments, "way_milliseconds", 0, 1e5),
        afterwards_seconds=_within(arguments, "afterwards_seconds", 0.001, 1e6),
    )


def _precision(arguments: argparse.Namespace) -> Precision:
    return Precision(
        _whole(arguments, "requests", 1000, 10_000_000),
        _whole(arguments, "replications", 2, 100),
        _whole(arguments, "seed", 0, 1_000_000_000),
    )


def _whole(arguments: argparse.Namespace, name: str, least: int, most: int) -> int:
    value = _within(arguments, name, least, most)
    if value != int(value):
        raise BadInput(f"{_flag(name)} {value:g} is not a whole number; give {int(value)}")
    return int(value)


def _within(arguments: argparse.Namespace, name: str, least: float, most: float) -> float:
    value = float(getattr(arguments, name))
    if not least <= value <= most:
        raise BadInput(f"{_flag(name)} {value:g} is out of range; give {least:g} to {most:g}")
    return value


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
