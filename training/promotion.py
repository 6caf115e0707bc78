"""From candidate to challenger to champion: evidence, approval and aliases, all in the trail.

`Promotion` acts; what counts as approved is decided by `training.approval.decide`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from data_contracts.config import Settings
from data_contracts.errors import BadInput, ServiceUnavailable
from pipelines import audit_trail
from pipelines.state import open_state
from training import registry
from training.approval import Approval, Rules, decide, latest, trail_of
from training.gate_evidence import (
    APPROVAL_TAG,
    APPROVED,
    ENSEMBLE_TAG,
    EVIDENCE_TAG,
    GATES_RECORDED,
    GATES_TAG,
    WAIVER_RECORDED,
    WAIVER_TAG,
    evidence_hash,
    gate_verdicts,
    missing_evidence,
    overall,
)
from training.gate_reports import Judgement
from training.registry import CHALLENGER, CHAMPION, TRAINER, Connection, ModelVersion
from training.version_summary import summary
from training.waivers import problem, waived_without_right

CHAMPION_SET = "alias set: champion"
CHALLENGER_SET = "alias set: challenger"
CHALLENGER_DROPPED = "alias dropped: challenger"
WEIR = "weir"
LONGEST_ENTRY = 255  # characters of the audit trail's `what`


@dataclass(frozen=True)
class Promoted:
    """The outcome of the gates: `promoted` is true where the version became the challenger."""

    version: ModelVersion
    promoted: bool
    gates: str


@dataclass(frozen=True)
class Promotion:
    """Moves versions of the registered model, and writes every move to the audit trail."""

    connection: Connection
    trail: Engine
    rules: Rules
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    @classmethod
    def of(cls, settings: Settings) -> Promotion:
        """As the trainer, on the configured registry and state database."""
        return cls(
            registry.connect(settings), open_state(settings.state_url), Rules.of(settings.registry)
        )

    def promote(
        self, reference: str | int, judgements: Sequence[Judgement], card: Path | None = None
    ) -> Promoted:
        """Attach the gates' reports; the version becomes challenger where all let it pass.

        Idempotent: the same reports give the same evidence, and an approval stays valid. Raises
        BadInput for a report of another model, a waiver that does not count, a card of other
        reports.
        """
        version = registry.get_version(self.connection, reference)
        for judgement in judgements:
            _check_that_it_judged(version, judgement)
            self._check_waivers(version, judgement)
        if card is not None:
            _check_card(card, judgements)
        page = self._attach(version, judgements, card)
        version = self._tagged(version, judgements)
        gates = overall(gate_verdicts(version.tags), self.rules.required_gates)
        evidence = evidence_hash(version)
        registry.set_tags(
            self.connection, version.number, {GATES_TAG: gates, EVIDENCE_TAG: evidence}
        )
        text = summary(version, judgements, gates, evidence, page, card=card is not None)
        registry.describe(self.connection, version.number, text)
        self._record_waivers(version, judgements, evidence)
        self._record_once(TRAINER, f"{GATES_RECORDED}{gates}", version, evidence)
        return Promoted(version, self._challenge(version, gates), gates)

    def is_approved(self, reference: str | int) -> Approval:
        """Ask MLflow and the audit trail; see `Approval` for what the answers mean.

        Raises NotInRegistry where there is no such version (or it was deleted), ServiceUnavailable
        where MLflow or the state database does not answer: that is neither a yes nor a no.
        """
        version = registry.get_version(self.connection, reference)
        try:
            rows, tampering = trail_of(self.trail, version), audit_trail.verify(self.trail)
        except OperationalError as error:
            raise ServiceUnavailable(
                f"the audit trail does not answer ({str(error.orig).strip()}); start the state "
                "database, or mend state.url (WEIR__STATE__URL)"
            ) from None
        return decide(version, rows, tampering, self.rules, self.clock())

    def approve(self, reference: str | int, reviewer: Connection) -> Approval:
        """Set the approval tag as the reviewer, through MLflow's server and so its recorder.

        Raises BadInput, before the tag is set, where the gates' evidence is not complete.
        """
        version = registry.get_version(self.connection, reference)
        missing = missing_evidence(version.tags, self.rules.required_gates) or waived_without_right(
            version, self.rules.waivers, self.clock()
        )
        if missing:
            raise BadInput(
                f"{version.uri} cannot be approved: {missing}; run `python -m evaluation gate` and "
                "`python -m training promote` first"
            )
        registry.set_tags(reviewer, version.number, {APPROVAL_TAG: APPROVED})
        approval = self.is_approved(version.number)
        if not approval.approved:
            raise BadInput(f"{version.uri} is not approved although the tag is set: "
                           f"{approval.reason}")  # fmt: skip
        return approval

    def make_champion(self, reference: str | int) -> None:
        """The version passed its rollout: it is the champion now and challenger no more.

        Idempotent. Raises BadInput for a version that nobody approved; an approval or a waiver
        that ran out during the rollout still counts.
        """
        version = registry.get_version(self.connection, reference)
        approval = self.is_approved(version.number)
        if approval.revoked:
            raise BadInput(f"{version.uri} cannot become champion: {approval.reason}")
        registry.set_alias(self.connection, CHAMPION, version.number)
        self._record_alias(CHAMPION_SET, version, evidence_hash(version))
        self._drop_challenger_alias(version)

    def drop_challenger(self, reference: str | int) -> None:
        """The version was rolled back: it is challenger no more. Idempotent."""
        version = registry.find_version(self.connection, reference)
        if version is not None and self._drop_challenger_alias(version):
            self._record_alias(CHALLENGER_DROPPED, version, "")

    def _check_waivers(self, version: ModelVersion, judgement: Judgement) -> None:
        for waiver in judgement.waivers:
            found = problem(waiver, version, judgement.digest, self.rules.waivers, self.clock())
            if found:
                raise BadInput(f"waiver of gate {judgement.gate}: {found}")

    def _attach(
        self, version: ModelVersion, judgements: Sequence[Judgement], card: Path | None
    ) -> str:
        """Reports, pictures, figures and the card go to the run; the address of its page."""
        figures = {key: value for said in judgements for key, value in said.metrics().items()}
        files = {str(path): f"gates/{said.gate}" for said in judgements for path in said.files()}
        if card is not None:
            files[str(card)] = "gates"
        registry.attach(self.connection, version.run_id, metrics=figures, files=files)
        return registry.run_page(self.connection, version.run_id)

    def _tagged(self, version: ModelVersion, judgements: Sequence[Judgement]) -> ModelVersion:
        """Set the gates' tags; a waiver of an earlier report goes."""
        tags = {key: value for judgement in judgements for key, value in judgement.tags().items()}
        registry.set_tags(self.connection, version.number, tags)
        for key in (f"{WAIVER_TAG}{judgement.gate}" for judgement in judgements):
            if key in version.tags and key not in tags:
                registry.drop_tag(self.connection, version.number, key)
        return registry.get_version(self.connection, version.number)

    def _record_waivers(
        self, version: ModelVersion, judgements: Sequence[Judgement], evidence: str
    ) -> None:
        """Each once on this evidence, under the name of the person who signed it."""
        rows = audit_trail.entries(self.trail, version.uri)
        known = {(row.what, row.evidence) for row in rows}
        for waiver in (waiver for judgement in judgements for waiver in judgement.waivers):
            what = f"{WAIVER_RECORDED}{waiver.covers}, until {waiver.until}: {waiver.reason}"
            what = what[:LONGEST_ENTRY]  # the evidence covers the whole of it
            if (what, evidence) not in known:
                audit_trail.record(self.trail, waiver.by, what, version.uri, evidence, self.clock())

    def _challenge(self, version: ModelVersion, gates: str) -> bool:
        if gates != "passed":
            self._drop_challenger_alias(version)
            return False
        if CHAMPION in version.aliases:
            return False  # a repeated step: it has been through its rollout
        registry.set_alias(self.connection, CHALLENGER, version.number)
        self._record_alias(CHALLENGER_SET, version, evidence_hash(version))
        return True

    def _drop_challenger_alias(self, version: ModelVersion) -> bool:
        holder = registry.find_version(self.connection, CHALLENGER)
        if holder is None or holder.number != version.number:
            return False
        registry.drop_alias(self.connection, CHALLENGER)
        return True

    def _record_once(self, who: str, what: str, version: ModelVersion, evidence: str) -> None:
        """Not again where the newest row of its kind about this version says the same."""
        rows = audit_trail.entries(self.trail, version.uri)
        kind = what.partition(":")[0]
        row = latest(rows, kind)
        if row is None or (row.what, row.evidence) != (what, evidence):
            audit_trail.record(self.trail, who, what, version.uri, evidence, self.clock())

    def _record_alias(self, what: str, version: ModelVersion, evidence: str) -> None:
        """Not again where the newest move of this alias, of any version, was this one."""
        alias = what.rpartition(": ")[2]
        moves = [row for row in audit_trail.entries(self.trail) if row.what.startswith("alias ")]
        row = next((row for row in reversed(moves) if row.what.endswith(f": {alias}")), None)
        if row is None or (row.what, row.subject) != (what, version.uri):
            audit_trail.record(self.trail, WEIR, what, version.uri, evidence, self.clock())


def is_approved(version: str | int, settings: Settings) -> Approval:
    """Whether a number or alias names an approved version."""
    return Promotion.of(settings).is_approved(version)


def make_champion(version: str | int, settings: Settings) -> None:
    """See `Promotion.make_champion`."""
    Promotion.of(settings).make_champion(version)


def drop_challenger(version: str | int, settings: Settings) -> None:
    """See `Promotion.drop_challenger`."""
    Promotion.of(settings).drop_challenger(version)


def _check_that_it_judged(version: ModelVersion, judgement: Judgement) -> None:
    expected = version.tags.get(ENSEMBLE_TAG)
    if judgement.model != expected:
        raise BadInput(
            f"{judgement.path} judged model {judgement.model}, {version.uri} is {expected}; run "
            f"`python -m evaluation gate --model {version.uri} --suite {judgement.gate}`"
        )


def _check_card(card: Path, judgements: Sequence[Judgement]) -> None:
    """The card names the digest of every report and the signature of every waiver it tells of."""
    try:
        text = card.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"model card {card}: {error.strerror}; run `evaluation card`") from None
    marks = [judgement.digest for judgement in judgements]
    marks += [waiver.signature for judgement in judgements for waiver in judgement.waivers]
    if any(mark not in text for mark in marks):
        raise BadInput(
            f"{card} tells of other reports or waivers; run `python -m evaluation card` with the "
            "very same --gate and --waiver"
        )
