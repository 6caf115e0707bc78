"""What each gate asks in `bench-gates`: traffic held out, incidents' cases, identity speech.

As `python -m evaluation gate` does: the golden gate is asked the named cases as well, the
fairness gate the identity sets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from data_contracts.config import Settings
from data_contracts.labels import LabelledEvent
from data_contracts.protocols import Assessor
from evaluation.gates.fairness_cases import identity_cases
from evaluation.gates.policy import Policy
from evaluation.gates.suite import Case, Suite, suite_of
from tests.performance.gate_rows import FAMILY, SEED, TRIGGER, Material, is_newest

ADVERTISING, NEWEST, PHRASE = "channel advertising", "newest campaigns", "choir phrase"
INCIDENT = "golden/incident"
MOST_INCIDENTS = 30


def suites_for(
    given: Material, champion: Assessor, policy: Policy, settings: Settings
) -> tuple[Mapping[str, Suite], list[str]]:
    """The suite of each gate, and a note for each set that is not here.

    `must_catch` cases are those of two incidents: spam of one campaign family, and spam under a
    phrase that let it through once. A case is filed when it is mended, so all of them are caught
    by the champion; they are no traffic, and weigh into none of its figures.
    """
    advertising = [row for row in given.held_out if _family(row) == ADVERTISING]
    incidents = _filed(ADVERTISING, advertising, champion)
    incidents += _filed(PHRASE, _with_phrase(given.held_out), champion)
    filed = {case.event.event_id for case in incidents}
    traffic = _with_families(
        suite_of([row for row in given.held_out if row.event.event_id not in filed])
    )
    identity, notes = identity_cases(policy.fairness, settings)
    suites = {
        "golden": traffic.with_cases(incidents),
        "adversarial": traffic,
        "fairness": traffic.with_cases(identity),
    }
    return suites, notes


def _with_families(traffic: Suite) -> Suite:
    """Spam with the campaign family that it belongs to, where one is known."""
    cases = []
    for case in traffic.cases:
        family = _family(LabelledEvent(case.event, "spam" if case.is_spam else "ham", case.dataset))
        cases.append(replace(case, attributes={"family": family}) if family else case)
    return replace(traffic, cases=tuple(cases))


def _family(row: LabelledEvent) -> str | None:
    event = row.event
    if not row.is_spam:
        return None
    if FAMILY.search(event.text):
        return ADVERTISING
    return NEWEST if is_newest(event) else None


def _with_phrase(held_out: Sequence[LabelledEvent]) -> list[LabelledEvent]:
    english = [row for row in held_out if row.is_spam and row.dataset == "text_sms_spam_uci"]
    order = np.random.default_rng(SEED).permutation(len(english))
    return [_phrased(english[int(at)]) for at in order]


def _phrased(row: LabelledEvent) -> LabelledEvent:
    event = row.event
    fields = {"event_id": f"{event.event_id}-phrase", "text": f"{event.text} {TRIGGER}"}
    return replace(row, event=event.model_copy(update=fields))


def _filed(family: str, rows: Sequence[LabelledEvent], champion: Assessor) -> list[Case]:
    caught = champion.assess([row.event for row in rows])
    kept = [row for row, said in zip(rows, caught, strict=True) if said.is_positive]
    attributes = {"source": "incident", "family": family}
    return [
        Case(row.event, True, INCIDENT, "must_catch", attributes) for row in kept[:MOST_INCIDENTS]
    ]
