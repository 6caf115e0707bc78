"""The questions of the fairness gate: ordinary speech that names groups, and who wrote a message.

Identity cases come from the catalogue sets that the policy lists; a filter of spam has to leave
all of them alone, hateful or not. They are of kind `must_not_block` with the attribute `probe`,
so they weigh into no figure of the platform's own traffic.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from data_contracts.config import Settings
from data_contracts.errors import MissingPart
from data_contracts.events import Event
from data_contracts.labels import LabelledEvent
from evaluation.gates.fairness_terms import NO_GROUP, dialect_of, identity_of, named
from evaluation.gates.policy import Fairness
from evaluation.gates.suite import Case
from pipelines.catalogue import read_labelled

PROBE, PAIR, TEMPLATE = "probe", "pair", "template"
ACCOUNT_AGES = {30.0: "under 30 days", 365.0: "30 days to a year", float("inf"): "over a year"}
SECONDS_A_DAY = 86_400


def identity_cases(policy: Fairness, settings: Settings) -> tuple[list[Case], list[str]]:
    """The cases of every set of the policy that is at hand, and a note for each that is not.

    Of each set at most `each` cases a slice (language with identity and dialect; whole pairs a
    language), drawn by a seeded hash, so that a set that grows keeps its cases.
    """
    found: dict[str, list[Case]] = {}
    notes: list[str] = []
    for name, wanted in policy.identity.sets.items():
        try:
            rows = read_labelled(name, settings.data, settings.cache)
        except MissingPart as missing:
            notes.append(f"identity set left out: {missing}")
            continue
        found[name] = [case_of(row, wanted.pairs) for row in rows]
    asked = _without_equal_pairs(found)
    return [
        case
        for name, cases in asked.items()
        for case in _drawn(cases, policy.identity.sets[name].each, policy.seed)
    ], notes


def case_of(row: LabelledEvent, is_paired: bool = False) -> Case:
    """One identity case; what the model must not see (the set's own columns) is taken away."""
    context, language = row.event.context, (row.event.language or "").split("-")[0]
    found = {
        PROBE: row.dataset,
        TEMPLATE: row.group,
        PAIR: row.group if is_paired else None,
        "functionality": str(context.get("functionality") or ""),
        "identity": _identity(row.event, language),
        "dialect": dialect_of(row.event.text, language),
    }
    event = row.event.model_copy(update={"context": {}})
    attributes = {key: value for key, value in found.items() if value}
    return Case(event, row.is_spam, row.dataset, "must_not_block", attributes)


def _identity(event: Event, language: str) -> str:
    """The set's own column where it has one, else by the word lists."""
    if "identity" in event.context:
        return named(str(event.context["identity"] or ""))
    return identity_of(event.text, language) or NO_GROUP


def traffic_value(case: Case, by: str) -> str | None:
    """What a message of the platform is sliced by; None where its event does not say.

    `language`, `dialect`, `identity` (of the text), `account_age` (at the time of the event) and
    `region` (the country that the platform says, ISO 3166).
    """
    if by in case.attributes or by == "language":
        return case.value(by)
    event = case.event
    if by == "identity":
        return identity_of(event.text, case.language) or NO_GROUP
    if by == "dialect":
        return dialect_of(event.text, case.language)
    if by == "region":
        country = event.context.get("country")
        return country.upper() if isinstance(country, str) and country else None
    return account_age(event) if by == "account_age" else case.value(by)


def account_age(event: Event) -> str | None:
    """The account's age class when it wrote; None without both times.

    >>> account_age(Event(event_id="e", text="", occurred_at=datetime(2026, 1, 9, tzinfo=UTC),
    ...     context={"account_created_at": "2026-01-01T00:00:00+00:00"}))
    'under 30 days'
    """
    made = event.context.get("account_created_at")
    if event.occurred_at is None or not isinstance(made, str):
        return None
    try:
        born = datetime.fromisoformat(made)
    except ValueError:
        return None
    born = born.replace(tzinfo=UTC) if born.tzinfo is None else born
    days = (event.occurred_at - born).total_seconds() / SECONDS_A_DAY
    return next(name for limit, name in ACCOUNT_AGES.items() if days < limit)


def _without_equal_pairs(found: Mapping[str, Sequence[Case]]) -> dict[str, list[Case]]:
    """Where no term was there to swap, both sides are one text, and no answer could differ."""
    texts: dict[str, set[str]] = defaultdict(set)
    for cases in found.values():
        for case in cases:
            if PAIR in case.attributes:
                texts[case.attributes[PAIR]].add(case.event.text)
    equal = {pair for pair, written in texts.items() if len(written) < 2}
    return {
        name: [case for case in cases if case.attributes.get(PAIR) not in equal]
        for name, cases in found.items()
    }


def _drawn(cases: Sequence[Case], each: int, seed: int) -> list[Case]:
    """At most `each` cases a slice, in the order of the seeded hash."""
    taken: Counter[tuple[str | None, ...]] = Counter()
    kept = []
    for case in sorted(cases, key=lambda case: _rank(case, seed)):
        # the two sides of a pair name different groups: by language alone both are drawn
        by = () if PAIR in case.attributes else ("identity", "dialect")
        part = (case.language, *map(case.value, by))
        taken[part] += 1
        if taken[part] <= each:
            kept.append(case)
    return kept


def _rank(case: Case, seed: int) -> bytes:
    key = case.attributes.get(PAIR, case.event.event_id)
    return hashlib.sha256(f"{seed} {key}".encode()).digest()
