"""The loop's steps: one argument list a step, safe by construction, and checked when read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.errors import ConfigurationError
from data_contracts.steps import STEPS_FILE, load_steps

RESULT = Path("out.json")


def test_a_step_is_one_argument_list() -> None:
    argv = (
        load_steps()
        .step("sample")
        .command_line("python", RESULT, {"day": "2026-01-05", "budget": 300})
    )
    assert argv == [
        "python", "-m", "pipelines", "sample", "--result=out.json", "--day=2026-01-05",
        "--budget=300",
    ]  # fmt: skip


def test_fixed_arguments_come_before_values() -> None:
    argv = load_steps().step("rollout_start").command_line("python", RESULT, {"version": 3})
    assert argv[3:] == ["rollout", "--result=out.json", "start", "--version=3"]


def test_an_absent_value_is_left_out_and_a_list_repeats_its_option() -> None:
    promote = load_steps().step("promote")
    assert promote.command_line("python", RESULT, {"version": None, "gate": ["a", "b"]})[5:] == [
        "--gate=a",
        "--gate=b",
    ]


def test_a_value_that_a_step_does_not_take_is_refused() -> None:
    with pytest.raises(ValueError, match="pipelines ingest takes no budget; give one of day"):
        load_steps().step("ingest").command_line("python", RESULT, {"budget": 1})


def test_an_unknown_step_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no step 'deploy'.*ingest.*monitor"):
        load_steps().step("deploy")


@given(st.text())
def test_any_text_stays_inside_its_own_option(text: str) -> None:
    step = load_steps().step("register")
    argv = step.command_line("python", RESULT, {"model": text, "run_id": text})
    assert argv[5:] == [f"--model={text}", f"--run-id={text}"]


def test_no_flag_of_a_value_can_name_the_result_file() -> None:
    assert "result" not in load_steps().parameters


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("takes: [day]", "takes: [weekday]", "weekday is not defined"),
        ("outputs: [weir_labels]", "outputs: [labels]", "labels is not defined"),
        ("retries: 3", "retries: many", "retries"),
        ("command: [pipelines, ingest]", "command: [bash, ingest]", "command"),
        ('"--suite=golden"', '"--suite=golden; reboot"', "arguments"),
        ("does: Reads", "speed: 9\n    does: Reads", "speed"),
        ("assets:", "assets: [", "not YAML"),
    ],
)
def test_a_mistake_in_the_file_is_named(old: str, new: str, named: str, tmp_path: Path) -> None:
    text = STEPS_FILE.read_text()
    assert old in text
    broken = tmp_path / "steps.yaml"
    broken.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigurationError, match=named):
        load_steps(broken)
