"""Layers override each other, paths are absolute, and mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_contracts.config import PROJECT, load_settings
from data_contracts.errors import ConfigurationError


def test_the_environment_overrides_the_files(tmp_path: Path) -> None:
    settings = load_settings({"WEIR_HOME": str(tmp_path), "WEIR__SERVING__GATEWAY_PORT": "9123"})
    assert settings.serving.gateway_port == 9123
    assert settings.home == tmp_path
    assert str(tmp_path) in settings.state_url


def test_relative_paths_are_relative_to_the_project() -> None:
    settings = load_settings({})
    assert settings.home == PROJECT / ".weir"
    assert settings.data.root.is_absolute()


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("WEIR__SERVING__GATEWAY_PRT", "1", "serving.gateway_prt"),
        ("WEIR__SERVING__GATEWAY_PORT", "70000", "serving.gateway_port"),
        ("WEIR__TRAINING__TARGET_FALSE_POSITIVE_RATE", "2", "training.target_false_positive_rate"),
    ],
)
def test_a_wrong_setting_is_named_with_its_variable(variable: str, value: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{named}.*{variable}"):
        load_settings({variable: value})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ARMS__DIVERSITY__SHARE": "0.5"}, r"labelling.arms = .*shares sum to 1.38, not 1"),
        ({"ARMS__DIVERSITY__FLOOR": "0.8"}, r"labelling.arms = .*sum to 1.23, more than 1"),
        ({"ARMS__DIVERSITY__FLOOR": "2"}, r"labelling.arms.diversity.floor = 2"),
        ({"ARMS__AUDIT": "{share: 0, floor: 0}"}, r"its part is labelling.audit_share"),
        ({"AUDIT_SHARE": "0"}, r"labelling.audit_share = 0"),
        ({"ENGINE": "pandas"}, r"labelling.engine = 'pandas'.*'duckdb' or 'spark'"),
    ],
)
def test_a_wrong_division_of_the_review_budget_is_named(changes: dict[str, str], said: str) -> None:
    variables = {f"WEIR__LABELLING__{key}": value for key, value in changes.items()}
    with pytest.raises(ConfigurationError, match=said):
        load_settings(variables)


def test_an_unknown_environment_lists_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"WEIR_ENV=moon.*local.*production"):
        load_settings({"WEIR_ENV": "moon"})


@pytest.mark.parametrize("name", ["local", "production"])
def test_every_shipped_environment_loads(name: str) -> None:
    assert load_settings({"WEIR_ENV": name}).environment == name
