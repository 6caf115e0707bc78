"""A trace in words: what the table in the terminal and the page both show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from data_contracts.verdicts import ACTIONS, Budget
from serving.event_trace import Passage, Trace, TracedEvent

Facts = list[tuple[str, str]]
Levels = Mapping[str, Sequence[float]]


class StageLine(NamedTuple):
    """One stage of a passage; `milliseconds` is the cost that the configuration expects."""

    name: str
    ran: bool
    score: float | None
    milliseconds: float | None
    why_skipped: str


def headline(trace: Trace) -> str:
    """What stands, in one sentence."""
    standing, count = trace.standing, len(trace.passages)
    verdicts = f"{count} verdict{'' if count == 1 else 's'}"
    if standing is None:
        return f"{verdicts}, none with an effect on a user"
    said = standing.verdict
    return f"{said.action} at {said.score:.6f} stands (revision {said.revision}; {verdicts})"


def event_facts(event: TracedEvent) -> Facts:
    """The event without its words, unless it was traced with them."""
    features = ", ".join(f"{count} of {name}" for name, count in event.features.items())
    facts = [
        ("occurred", _time(event.occurred_at) if event.occurred_at else "not said"),
        ("account", f"{event.account} (keyed hash)" if event.account else "none"),
        ("language", event.language or "not said"),
        ("text", f"{event.text_characters:,} characters, sha256 {event.text_sha256}"),
        *((kind, f"sha256 {sha256}") for kind, sha256 in event.media),
        ("features", features or "none"),
    ]
    return facts if event.text is None else [*facts, ("it says", event.text)]


def signal_facts(event: TracedEvent) -> Facts:
    """Every entry of the context; of words only how many characters."""
    numbers = [(name, _number(value)) for name, value in event.signals.items()]
    return [*numbers, *((name, f"{size} characters") for name, size in event.worded.items())]


def title(passage: Passage) -> str:
    """Which of the verdicts this is."""
    mirrored = ", a copy without effect" if passage.mirrored else ""
    took = "" if passage.milliseconds is None else f", in {passage.milliseconds:g} ms"
    revision = passage.verdict.revision
    return (
        f"revision {revision}, {passage.verdict.arm}{mirrored}: "
        f"decided {_time(passage.decided_at)}{took}"
    )


def passage_facts(passage: Passage) -> Facts:
    """Decision, versions, budget and where it is stored."""
    verdict = passage.verdict
    artefact = f" (artefact {passage.artefact})" if passage.artefact else ""
    inputs = passage.event_sha256 or "not recorded"
    return [
        ("action", f"{verdict.action} at {verdict.score:.6f}"),
        ("reasons", ", ".join(verdict.reasons) or "none"),
        ("model", f"{verdict.model_version}{artefact}"),
        ("thresholds", verdict.threshold_version),
        ("budget", _budget(passage.budget)),
        ("inputs", f"sha256 {inputs}" + (", ALTERED since" if passage.is_altered else "")),
        ("stored in", passage.where),
    ]


def stage_lines(passage: Passage, costs: Mapping[str, float]) -> list[StageLine]:
    """The stages in the order of the cascade; `costs` milliseconds by stage."""
    return [
        StageLine(
            stage.name, stage.ran, stage.score, costs.get(stage.name), stage.skipped_because or ""
        )
        for stage in passage.verdict.stages
    ]


def level_rows(kinds: Levels) -> list[tuple[str, ...]]:
    """A table of thresholds, its heads first: the lowest score of each action by kind of event."""
    rows = [(kind, *(f"{level:.6f}" for level in levels)) for kind, levels in kinds.items()]
    return [("kind", *ACTIONS[1:]), *rows]


def _budget(budget: Budget | None) -> str:
    if budget is None:
        return "not recorded"
    bound = "no bound" if budget.milliseconds is None else f"{budget.milliseconds:g} ms"
    parts = [bound]
    if budget.every_stage:
        chance = budget.every_stage_chance
        drawn = "" if chance is None else f", drawn with chance {chance:g}"
        parts.append(f"every stage{drawn}")
    parts += [f"{stage} withheld ({why})" for stage, why in budget.withheld]
    return "; ".join(parts)


def _number(value: float | None) -> str:
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else f"{value:.6g}"


def _time(stamp: str) -> str:
    """UTC to the second; what is no time stays as it is."""
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError:
        return stamp
    moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
