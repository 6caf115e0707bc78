"""Gate policies are data that is checked when it is read."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from data_contracts.config import load_settings
from data_contracts.errors import ConfigurationError
from evaluation.gates.policy import Rule, load_policy
from evaluation.metrics import Estimate

SHIPPED = load_settings().gates.policy
CEILING = Rule(better="low", bound=0.02, limit=0.06, reason="a ceiling made for this test")
FLOOR = Rule(better="high", bound=0.9, limit=0.8, reason="a floor made for this test only")


@pytest.mark.parametrize(
    ("estimate", "verdict"),
    [
        (Estimate(0.02, 0.0, 0.06), "pass"),
        (Estimate(0.02, 0.0, 0.061), "not_enough_evidence"),
        (Estimate(0.021, 0.02, 0.022), "fail"),
    ],
)
def test_a_ceiling_is_judged_by_the_upper_end(estimate: Estimate, verdict: str) -> None:
    assert CEILING.judge(estimate) == verdict


@pytest.mark.parametrize(
    ("estimate", "verdict"),
    [
        (Estimate(0.9, 0.8, 1.0), "pass"),
        (Estimate(0.95, 0.79, 1.0), "not_enough_evidence"),
        (Estimate(0.89, 0.88, 0.9), "fail"),
    ],
)
def test_a_floor_is_judged_by_the_lower_end(estimate: Estimate, verdict: str) -> None:
    assert FLOOR.judge(estimate) == verdict


def test_the_shipped_policy_names_owners_and_reasons() -> None:
    policy = load_policy(SHIPPED)
    assert policy.golden.owner
    assert all(len(rule.reason) >= 20 for rule in policy.golden.figures.values())


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("golden", "resample", 3),
        ("fairness", "minimum_slices", 1),
        (
            "adversarial",
            "champion",
            {"better": "high", "bound": 0, "limit": 0.1, "reason": "x" * 20},
        ),
    ],
)
def test_a_bad_policy_names_the_key(tmp_path: Path, section: str, key: str, value: object) -> None:
    tree = yaml.safe_load(SHIPPED.read_text())
    tree[section][key] = value
    path = tmp_path / "gates.yaml"
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(ConfigurationError, match=f"{section}.{key}"):
        load_policy(path)


def test_an_absent_policy_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file or directory; see gates"):
        load_policy(tmp_path / "gates.yaml")
