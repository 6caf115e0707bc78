"""Objectives: the rules are made of them, and a quiet week wakes nobody where a bad hour does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from data_contracts.config import load_settings
from data_contracts.errors import ConfigurationError
from infra.alerts.slo.__main__ import RULES, rendered
from infra.alerts.slo.objectives import FILE, Burn, read, seconds
from tests.prometheus_names import ALERTS, rules
from tests.promtool import NEEDED, promtool

STEP_SECONDS = 300
DAY = 86_400 // STEP_SECONDS
Series = Mapping[str, np.ndarray]


def test_the_rule_file_is_what_the_objectives_say() -> None:
    assert RULES.read_text() == rendered(), "python -m infra.alerts.slo"


def test_every_objective_alerts_at_each_of_its_burns() -> None:
    given = read()
    wanted = {one.alert + burn for one in given.objectives.values() for burn in one.burns}
    assert wanted <= {rule.get("alert") for rule in rules()}
    assert {"unavailable", "slow", "features_stale", "labels_stale", "false_positive"} <= set(
        given.objectives
    )


@pytest.mark.parametrize(
    ("burn", "share"), [("Fast", 0.02), ("Slow", 0.05), ("Steady", 0.1), ("Budget", 0.1)]
)
def test_a_burn_alerts_when_this_share_of_the_budget_is_spent(burn: str, share: float) -> None:
    given = read()
    spent = given.burns[burn].rate * seconds(given.burns[burn].long) / (given.days * 86_400)
    assert spent == pytest.approx(share)


def test_the_latency_that_is_promised_is_the_deadline_that_servers_keep() -> None:
    interactive = load_settings({}).serving.admission.classes["interactive"]
    base = yaml.safe_load((ALERTS.parent / "config" / "base.yaml").read_text())
    deadline = base["serving"]["admission"]["classes"]["interactive"]["deadline_milliseconds"]
    assert f'le="{deadline / 1000:g}"' in str(read().objectives["slow"].good)
    assert interactive.deadline_milliseconds >= deadline  # the local stack is slower, never faster


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("objective: 0.999", "objective: 1.5", "unavailable.objective = 1.5"),
        ("burns: [Fast,", "burns: [Sudden,", "Sudden"),
        ("short: 5m, for: 2m", "short: 5m, for: 10m", "for 10m, short 5m"),
        ("stale: max", "bad: max", "measured by"),
        ("least_bad: 10", "least_bad: 0", "least_bad = 0"),
    ],
)
def test_a_wrong_objective_is_refused_by_name(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    text = FILE.read_text()
    assert old in text
    (tmp_path / "slo.yaml").write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        read(tmp_path / "slo.yaml")


def test_a_burn_has_its_durations_in_order() -> None:
    with pytest.raises(ValueError, match="in this order"):
        Burn.model_validate(
            {"rate": 1, "long": "1h", "short": "1h", "for": "2m", "severity": "page"}
        )


def test_the_dashboard_shows_the_budgets_that_are_promised() -> None:
    text = (ALERTS.parent / "dashboards" / "weir-system.json").read_text()
    for name, objective in read().objectives.items():
        assert f"1 - weir:{name}:ratio_rate3d / {objective.budget:g}" in text


@NEEDED
def test_a_simulated_quiet_week_pages_nobody(tmp_path: Path) -> None:
    assert paged(tmp_path, quiet(np.random.default_rng(7), days=7)) == []


@NEEDED
def test_an_hour_of_failures_in_a_quiet_day_pages(tmp_path: Path) -> None:
    day = dict(quiet(np.random.default_rng(7), days=1))
    bad = slice(12 * 12, 13 * 12)
    failed = rate(day[OK])[bad] * 0.05
    steps = rate(day[FAILED])
    steps[bad] += failed
    day[FAILED] = np.cumsum(steps).round()
    assert paged(tmp_path, day) == ["WeirUnavailableFast", "WeirUnavailableSlow"]


OK = 'weir_requests_total{class="normal", status="200"}'
FAILED = 'weir_requests_total{class="normal", status="500"}'
SHED = 'weir_requests_total{class="normal", status="429"}'
COUNT = 'weir_request_seconds_count{class="normal"}'
IN_TIME = 'weir_request_seconds_bucket{class="normal", le="0.08"}'


def quiet(rng: np.random.Generator, days: int) -> Series:
    """A week of one server's worth of traffic, nights nearly without; failures at a third of the
    budget; daily restarts, materialisations and rollouts; a benign burst on the third day.
    """
    steps = np.arange(days * DAY)
    hour = steps % DAY * 24 / DAY
    arriving = rng.poisson(2 + 3000 * np.clip(np.sin((hour - 6) * np.pi / 12), 0, None))
    arriving[(steps // DAY == 2) & (abs(hour - 14) < 0.5)] *= 20
    failed = rng.binomial(arriving, 0.000_2)
    turned_away = rng.binomial(arriving, 0.000_1)
    late = rng.binomial(arriving, 0.003)
    single = {
        'up{job="weir", instance="a"}': np.where(hour == 10, 0, 1),
        'up{job="weir", instance="b"}': np.where(hour == 10.5, 0, 1),
        'up{job="weir", instance="c"}': np.where(hour == 11, 0, 1),
        'up{job="weir-platform"}': np.ones_like(steps),
        'weir_feature_freshness_seconds{view="past"}': ((hour - 0.5) % 24 + 0.5) * 3600,
        "weir_controller_leads": np.where(hour == 12, 0, 1),
        "weir_rollout_active": np.where((hour > 9) & (hour < 16), 1, 0),
        'weir_model{model_version="7"}': np.ones_like(steps),
        FALSE_POSITIVES: np.full(len(steps), 0.000_4),
        "weir_alert_oldest_waiting_age_seconds": np.where(hour == 15, 200, 0),
    }
    counted = {
        OK: arriving - failed - turned_away,
        FAILED: failed,
        SHED: turned_away,
        COUNT: arriving,
        IN_TIME: arriving - late,
    }
    return {name: np.cumsum(each) for name, each in counted.items()} | single


FALSE_POSITIVES = 'weir_audit_quality{figure="false_positive_rate", bound="low", model_version="7"}'


def rate(counter: np.ndarray) -> np.ndarray:
    return np.diff(counter, prepend=0).astype(float)


def paged(folder: Path, series: Series) -> list[str]:
    """Which pages fire at any time, evaluated every five minutes by Prometheus' own code."""
    files = [str(path) for path in only_pages(folder)]
    last = len(next(iter(series.values()))) - 1
    asked = f'count by (alertname) (count_over_time(ALERTS{{alertstate="firing"}}[{last * 5}m]))'
    test = {
        "interval": "5m",
        "input_series": [
            {"series": name, "values": " ".join(f"{one:.12g}" for one in values)}
            for name, values in series.items()
        ],
        "promql_expr_test": [{"expr": asked, "eval_time": f"{last * 5}m", "exp_samples": [NEVER]}],
    }
    content = {
        "rule_files": files,
        "evaluation_interval": "5m",
        "group_eval_order": ["weir-slo", "weir-slo-days"],
        "tests": [test],
    }
    (folder / "week.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(AssertionError) as said:
        promtool("test", "rules", str(folder / "week.yaml"))
    got = re.search(r"got: (.*)", str(said.value))
    assert got, said.value
    return sorted(re.findall(r'alertname="(\w+)"', got[1]))


NEVER = {"labels": '{never="so"}', "value": 1}  # so that promtool fails, and says what there was


def only_pages(folder: Path) -> Iterator[Path]:
    """The rules without what only tickets need, which takes most of the time."""
    pages = [rule for rule in rules() if rule.get("labels", {}).get("severity") == "page"]
    kept = closed_over_records(pages)
    for path in sorted(ALERTS.glob("*.yaml")):
        content = yaml.safe_load(path.read_text())
        for group in content["groups"]:
            group["rules"] = [rule for rule in group["rules"] if rule in kept]
        content["groups"] = [group for group in content["groups"] if group["rules"]]
        (folder / path.name).write_text(yaml.safe_dump(content))
        yield folder / path.name


def closed_over_records(chosen: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """These rules, and the recording rules that they ask, and those that these ask."""
    found, records = list(chosen), [rule for rule in rules() if "record" in rule]
    while True:
        text = " ".join(rule["expr"] for rule in found)
        more = [one for one in records if one["record"] in text and one not in found]
        if not more:
            return found
        found += more
