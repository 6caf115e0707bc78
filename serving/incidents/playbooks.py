"""Playbooks as data: for which incidents, which mitigations in which order, and within what limits.

The file is `infra/config/playbooks.yaml`. Everything in it is checked when it is read: a misspelt
mitigation fails at the start, not at night. A step is carried out without a person only where it
says `automatic: true`, and then within the limits of its mitigation, whichever playbook asks.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from data_contracts.alerts import Alert
from data_contracts.config import Positive, Priority, Seconds, Section, Share
from data_contracts.yaml_files import read_yaml

MitigationName = Literal[
    "abort_rollout", "roll_back_release", "shadow_for_investigation", "prefilter_only",
    "loosen_thresholds", "tighten_thresholds", "shed", "freeze_training", "sample_now",
]  # fmt: skip
Undo = Literal["by_hand", "on_resolve"]
FOR_PEOPLE: dict[MitigationName, str] = {
    "abort_rollout": "abort the rollout under way; all traffic goes to the champion",
    "roll_back_release": "go back to the champion before the last release",
    "shadow_for_investigation": "give a version copies of traffic only, to look at it",
    "prefilter_only": "decide by the prefilter alone",
    "loosen_thresholds": "act upon fewer events",
    "tighten_thresholds": "act upon more events",
    "shed": "turn away traffic that can wait",
    "freeze_training": "let no scheduled training begin",
    "sample_now": "ask people to look at today's events now",
}


class Limits(Section):
    """Of one mitigation, over all incidents. The rest are safety limits, which bind people too.

    `strongest_log_odds`: how far thresholds may move. `least_shares`: of the waiting room that
    classes keep. `released_within_hours`: an older release is not rolled back. `most_reviews`: that
    people are asked for at once.
    """

    per_hour: Positive
    strongest_log_odds: Annotated[float, Field(gt=0)] | None = None
    least_shares: dict[Priority, Share] = Field(default_factory=dict)
    released_within_hours: Annotated[float, Field(gt=0)] | None = None
    most_reviews: Positive | None = None


class Match(Section):
    """Shell patterns: an alert fits one of `names`, `causes` and `hints`, and all of `subject`.

    `hints` are what the alert itself asks for: page, ticket, info.
    """

    names: tuple[str, ...] = ("*",)
    causes: tuple[str, ...] = ("*",)
    hints: tuple[str, ...] = ("*",)
    subject: dict[str, str] = Field(default_factory=dict)

    def fits(self, alert: Alert) -> bool:
        return (
            any(fnmatchcase(alert.name, pattern) for pattern in self.names)
            and any(fnmatchcase(alert.likely_cause, pattern) for pattern in self.causes)
            and any(fnmatchcase(alert.severity_hint, pattern) for pattern in self.hints)
            and all(
                key in alert.subject and fnmatchcase(alert.subject[key], pattern)
                for key, pattern in self.subject.items()
            )
        )


class Step(Section):
    """One mitigation. It helped where the alerts are over within `helps_within_seconds`."""

    mitigation: MitigationName
    automatic: bool = False
    helps_within_seconds: Seconds
    undo: Undo = "by_hand"
    parameters: dict[str, Any] = Field(default_factory=dict)


class Playbook(Section):
    """`match`: any alert of the incident must fit one of them. `first_look`: for people."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
    match: tuple[Match, ...]
    first_look: str
    runbook: str
    steps: tuple[Step, ...]

    def fits(self, alerts: Iterable[Alert]) -> bool:
        return any(match.fits(alert) for alert in alerts for match in self.match)


class Playbooks(Section):
    """The whole file; the first playbook that fits an incident is the one."""

    actions_per_hour: Positive
    mitigations: dict[MitigationName, Limits]
    playbooks: tuple[Playbook, ...]

    @model_validator(mode="after")
    def _check_steps(self) -> Self:
        names = [playbook.name for playbook in self.playbooks]
        if len(set(names)) != len(names):
            raise ValueError(f"playbooks share a name: {names}")
        for playbook in self.playbooks:
            for step in playbook.steps:
                if step.mitigation not in self.mitigations:
                    raise ValueError(f"{playbook.name}: no limits for {step.mitigation}; give some")
                check_parameters(step.mitigation, step.parameters, self.mitigations)
        return self

    def for_alerts(self, alerts: Iterable[Alert]) -> Playbook | None:
        """The first that fits; None: a person has to think."""
        seen = list(alerts)
        return next((playbook for playbook in self.playbooks if playbook.fits(seen)), None)

    def named(self, name: str) -> Playbook | None:
        return next((playbook for playbook in self.playbooks if playbook.name == name), None)


def check_parameters(
    mitigation: MitigationName,
    parameters: dict[str, Any],
    limits: dict[MitigationName, Limits],
) -> None:
    """Raises ValueError for parameters that the mitigation does not take, or beyond its limits."""
    known = {"loosen_thresholds": {"log_odds"}, "tighten_thresholds": {"log_odds"},
             "shed": {"shares"}, "sample_now": {"budget"}}.get(mitigation, set())  # fmt: skip
    if set(parameters) != known:
        raise ValueError(f"{mitigation} takes {sorted(known)}, not {sorted(parameters)}")
    bounds = limits[mitigation]
    if "log_odds" in known:
        _check_shift(mitigation, float(parameters["log_odds"]), bounds.strongest_log_odds)
    if "budget" in known:
        _check_budget(parameters["budget"], bounds.most_reviews)
    for name, share in parameters.get("shares", {}).items():
        least = bounds.least_shares.get(name)
        if least is None or not least <= share <= 1:
            raise ValueError(
                f"shed: share {share} of class {name}: give one of {sorted(bounds.least_shares)}, "
                f"from its least share {least} to 1"
            )


def load_playbooks(path: Path) -> Playbooks:
    """Raises ConfigurationError that names the field."""
    return read_yaml(Playbooks, path, "incidents.playbooks")


def _check_budget(budget: object, most: int | None) -> None:
    if most is None:
        raise ValueError("sample_now: give its limit most_reviews")
    if not isinstance(budget, int) or not 1 <= budget <= most:
        raise ValueError(f"sample_now: budget = {budget}: give 1 to {most} reviews")


def _check_shift(mitigation: str, log_odds: float, strongest: float | None) -> None:
    """Loosening raises what a score must reach, tightening lowers it; both only so far."""
    if strongest is None:
        raise ValueError(f"{mitigation}: give its limit strongest_log_odds")
    sign = 1 if mitigation == "loosen_thresholds" else -1
    if not 0 < sign * log_odds <= strongest:
        raise ValueError(
            f"{mitigation}: log_odds = {log_odds}: give {'above' if sign > 0 else 'below'} 0 and "
            f"no stronger than {strongest}"
        )
