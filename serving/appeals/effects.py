"""What a decided appeal brings about: the action is taken back, a label, a golden case.

The store keeps what is owed (`AppealStore.duties`). Each effect may be carried out again without
harm and is noted when it is done, so a crash or a platform that is out of reach costs time only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine

from data_contracts.errors import BadInput, WeirError
from pipelines.golden_cases import GoldenCase, Provenance, add_cases
from pipelines.labelling.appeal_labels import add_to_lake, appeal_labels
from pipelines.labelling.appeal_records import Appeal
from pipelines.labelling.appeal_tables import Effect
from pipelines.labelling.appeals import AppealStore
from serving.appeals.contested import Verdicts
from serving.appeals.reversals import Reversal, Reversals

LONGEST_OUTCOME = 250


@dataclass(frozen=True)
class Effects:
    """Carries out what is owed; `say` gets a line for people about what has to wait."""

    store: AppealStore
    engine: Engine
    verdicts: Verdicts
    reversals: Reversals
    clock: Callable[[], datetime]
    say: Callable[[str], None]

    def carry_out(self) -> int:
        """Everything that can be done now; how many effects were."""
        done = 0
        for appeal, effect in self.store.duties():
            try:
                outcome = self._one(appeal, effect)
            except WeirError as error:
                self.say(f"appeal {appeal.id}: {effect} waits: {error}")
                continue
            if outcome is not None:
                self.store.fulfil(appeal, effect, outcome[:LONGEST_OUTCOME], self.clock())
                done += 1
        return done

    def _one(self, appeal: Appeal, effect: Effect) -> str | None:
        """The outcome, or None where it has to wait for the event to reach the lake."""
        if effect == "reversal":
            reversal = Reversal.of(appeal.contested, appeal.reviewer or "", f"appeal {appeal.id}")
            by = self.reversals.reverse(reversal).by
            return "reversed" if by == reversal.by else f"was reversed before by {by}"
        return self._label(appeal) if effect == "label" else self._golden_case(appeal)

    def _label(self, appeal: Appeal) -> str | None:
        found = self.verdicts.day_and_event(appeal.contested.event_id)
        if found is None:
            return None
        day, _ = found
        self.store.place(appeal, day)
        add_to_lake(self.verdicts.lake, day, appeal_labels(self.engine, day))
        return f"{'ham' if appeal.state == 'overturned' else 'spam'} on {day}"

    def _golden_case(self, appeal: Appeal) -> str | None:
        found = self.verdicts.day_and_event(appeal.contested.event_id)
        if found is None:
            return None
        event = found[1].model_copy(update={"account": None})
        if not event.text.strip() and not event.media:
            return "none: the event has neither text nor media"
        provenance = Provenance(
            "appeal", appeal.id, appeal.reviewer or "", self.clock(),
            f"overturned on appeal: {appeal.contested.action} by "
            f"version {appeal.contested.model_version}"[:LONGEST_OUTCOME],
        )  # fmt: skip
        case = GoldenCase(event, "ham", "must_not_block", provenance)
        try:
            added = add_cases(self.verdicts.lake, [case])
        except BadInput as error:  # it has another right answer: people settle which
            self.say(f"appeal {appeal.id}: no golden case: {error}")
            return f"refused: case {case.key} has another right answer"
        return f"case {case.key} {'added' if added else 'was known'}"
