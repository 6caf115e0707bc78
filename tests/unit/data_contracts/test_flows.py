"""Flows of steps.yaml: what hands on what, and the mistakes that are named at load."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from data_contracts.errors import ConfigurationError
from data_contracts.steps import STEPS_FILE, load_steps


def test_a_flow_is_told_what_no_earlier_step_gives() -> None:
    steps = load_steps()
    assert steps.asked_for("daily_retraining") == ("trials",)
    assert steps.flow("daily_retraining").upstream("model_card") == (
        "register", "gate_golden", "gate_adversarial", "gate_fairness",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("step", "values", "problem"),
    [
        ("train", {"model": "register.uri"}, "daily_retraining.train: model is not defined"),
        ("register", {"model": "promote.version"}, r"\(steps before it\): promote is not defined"),
        ("register", {"model": "register.uri"}, r"\(steps before it\): register is not defined"),
        ("restart", {}, "daily_retraining: restart is not defined"),
        ("register", {"model": "train; reboot"}, "pattern"),
    ],
)
def test_a_mistake_in_a_flow_is_named(
    step: str, values: dict[str, str], problem: str, tmp_path: Path
) -> None:
    content = yaml.safe_load(STEPS_FILE.read_text())
    content["flows"]["daily_retraining"]["steps"][step] = values
    file = tmp_path / "steps.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    with pytest.raises(ConfigurationError, match=problem):
        load_steps(file)
