"""Which metrics a PromQL expression names with which labels, against those that servers have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import yaml
from prometheus_client.metrics import MetricWrapperBase

from data_contracts.config import PROJECT
from serving import metrics
from serving.platform_metrics.gauges import GAUGES

ALERTS = PROJECT / "infra" / "alerts"
RUNBOOK = ALERTS / "runbook.md"
SUFFIXES = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_sum", "_count"),
}
OF_PROMETHEUS = {"job", "instance"}  # labels that a scrape adds
PROMETHEUS_OWN = {"up": OF_PROMETHEUS}
FOREIGN = PROJECT / "infra" / "dashboards" / "foreign_metrics.yaml"
_WORDS = {"and", "or", "unless", "bool", "offset"}
_NAME = re.compile(r"\b[a-zA-Z_][a-zA-Z0-9_:]*\b(?!\s*\()")
_SELECTED = re.compile(r"\b([a-zA-Z_][a-zA-Z0-9_:]*)\{([^}]*)\}")
_LABELS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)|\{[^}]*\}")
_LABEL = re.compile(r"([a-z_]+)\s*(?:=~|!~|!=|=)")
_GROUPED = re.compile(r"\b(?:by|on) \(([^)]*)\)")


def rule_groups() -> list[dict[str, Any]]:
    files = [yaml.safe_load(path.read_text()) for path in sorted(ALERTS.glob("*.yaml"))]
    return [group for file in files for group in file["groups"]]


def rules() -> list[dict[str, Any]]:
    return [rule for group in rule_groups() for rule in group["rules"]]


def sections(runbook: str) -> set[str]:
    """The anchors of its headings, as GitHub makes them."""
    headings = re.findall(r"^## (.*)$", runbook, re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@cache
def known() -> Mapping[str, set[str]]:
    """Every series name a dashboard or rule may use, with its labels."""
    found = dict(PROMETHEUS_OWN)
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            labels = {*metric._labelnames, *OF_PROMETHEUS, "pid", "le"}
            for suffix in SUFFIXES[metric._type]:
                found[f"{metric._name}{suffix}"] = labels
    for name, gauge in GAUGES.items():
        found[name] = {*gauge.labels, *OF_PROMETHEUS}
    for name, about in foreign().items():
        found[name] = {*about["labels"], *OF_PROMETHEUS}
    recorded = [rule["record"] for rule in rules() if "record" in rule]
    return found | {name: set() for name in recorded}


def foreign() -> dict[str, Any]:
    """What others export, as the allow-list beside the dashboards says."""
    found: dict[str, Any] = yaml.safe_load(FOREIGN.read_text())
    return found


def named(expression: str) -> set[str]:
    """The series that an expression names."""
    return set(_NAME.findall(_LABELS.sub("", _bare(expression)))) - _WORDS


def mistakes(expression: str) -> Iterator[str]:
    """Names and labels that no server has."""
    series = known()
    names, bare = named(expression), _bare(expression)
    if not names:
        yield f"no metric in {expression}"
    yield from (f"unknown metric {name}" for name in names - series.keys())
    for name, selector in _SELECTED.findall(bare):
        for label in _LABEL.findall(selector):
            if label not in series.get(name, ()):
                yield f"{name} has no label {label}"
    for group in _GROUPED.findall(bare):
        for label in (one.strip() for one in group.split(",") if one.strip()):
            if not any(label in series.get(name, ()) for name in names):
                yield f"none of {sorted(names)} has the label {label}"


def _bare(expression: str) -> str:
    return re.sub(r'"[^"]*"|\[[^\]]*\]', "", expression)
