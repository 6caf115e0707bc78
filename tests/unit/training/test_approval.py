"""What counts as an approval, decided on a version's tags and the audit trail's rows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import orjson
import pytest

from pipelines.audit_trail import Entry, Tampering
from training.approval import GIVEN, Rules, decide
from training.gate_evidence import evidence_hash, gate_verdicts, missing_evidence
from training.registry import ModelVersion
from training.waivers import Waiver, WaiverRules, public_key, signed

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
KEY = "07" * 32
RULES = Rules(
    frozenset({"ada"}),
    ("golden", "fairness"),
    timedelta(hours=72),
    WaiverRules({"grace": public_key(KEY)}, 14),
)
REPORT, ARTEFACT = f"sha256:{'b' * 64}", f"sha256:{'c' * 64}"


def _waiver(by_key: str = KEY, **changes: object) -> Waiver:
    fields = {
        "version": "models:/spam/3", "artefact": ARTEFACT, "gate": "fairness", "report": REPORT,
        "reason": "one language so far", "by": "grace", "signed_at": NOON - timedelta(hours=1),
        "until": date(2026, 1, 7), **changes,
    }  # fmt: skip
    return signed(Waiver.model_validate(fields), by_key)


def _tag(*waivers: Waiver) -> str:
    return orjson.dumps([waiver.as_record() for waiver in waivers]).decode()


VERSION = ModelVersion(
    model="spam",
    number=3,
    run_id="r",
    source="models:/m-1",
    created_at=NOON - timedelta(hours=1),
    tags={
        "weir.gate.golden": "pass sha256:aa",
        "weir.gate.fairness": f"waived {REPORT}",
        "weir.waiver.fairness": _tag(_waiver()),
        "weir.artefact": ARTEFACT,
        "weir.approval": "approved",
    },
    aliases=("challenger",),
)


def _row(
    who: str, what: str, version: ModelVersion = VERSION, at: datetime = NOON, subject: str = ""
) -> Entry:
    return Entry(1, at, who, what, subject or version.uri, evidence_hash(version), "")


MADE = [
    _row("trainer", "run created", subject="runs:/r"),
    _row("trainer", "model logged", subject="models:/m-1"),
    _row("trainer", "version created"),
]
ROWS = [*MADE, _row("trainer", "gates: passed"), _row("ada", "approval set: approved")]


def _with_tags(**changes: str | None) -> ModelVersion:
    tags = {f"weir.{key.replace('__', '.')}": value for key, value in changes.items()}
    merged = {**VERSION.tags, **tags}
    return replace(VERSION, tags={key: value for key, value in merged.items() if value is not None})


def test_a_reviewers_record_on_complete_evidence_is_an_approval() -> None:
    approval = decide(VERSION, ROWS, None, RULES, NOON)
    assert (approval.approved, approval.by, approval.at) == (True, "ada", NOON)
    assert approval.evidence == evidence_hash(VERSION)


@pytest.mark.parametrize(
    ("version", "rows", "reason"),
    [
        (_with_tags(approval=None), ROWS[:-1], "no tag weir.approval; a reviewer sets it"),
        (_with_tags(approval="maybe"), ROWS[:-1], "tag weir.approval is 'maybe', not approved"),
        (_with_tags(approval=None), ROWS, "is gone, and no record says by whom"),
        (_with_tags(approval="revoked"), ROWS, "is 'revoked', not approved, and no record says"),
        (VERSION, ROWS[:-1], "no record of MLflow's server plugin"),
        (VERSION, [*MADE, ROWS[-1]], "not what `training promote` recorded"),
        (VERSION, [], "not what `training promote` recorded"),
        (_with_tags(gate__golden=None), ROWS, "gate golden has not judged"),
        (_with_tags(gate__golden="fail sha256:aa"), ROWS, "gate golden says fail"),
        (_with_tags(gate__extra="fail sha256:aa"), ROWS, "gate extra says fail"),
        (_with_tags(gate__golden="pass sha256:ff"), ROWS, "not what `training promote` recorded"),
        (_with_tags(artefact="sha256:ff"), ROWS, "not what `training promote` recorded"),
        (VERSION, [*ROWS, _row("bob", "approval set: approved")], "bob set the tag and is no"),
        (VERSION, [*ROWS, _row("ada", "approval deleted")], "'approval deleted'"),
        (VERSION, [*ROWS, _row("ada", "approval set: no")], "'approval set: no'"),
    ],
)
def test_whatever_is_missing_is_no_approval_and_says_why(
    version: ModelVersion, rows: list[Entry], reason: str
) -> None:
    approval = decide(version, rows, None, RULES, NOON)
    assert (approval.approved, approval.revoked, approval.by) == (False, True, None)
    assert reason in approval.reason


@pytest.mark.parametrize(
    ("tag", "words"),
    [(None, "approval deleted"), ("withdrawn", "approval set: withdrawn")],
)
def test_a_revocation_names_who_and_when(tag: str | None, words: str) -> None:
    later = NOON + timedelta(minutes=5)
    rows = [*ROWS, _row("grace", words, at=later)]
    approval = decide(_with_tags(approval=tag), rows, None, RULES, later)
    assert approval.revoked
    assert approval.reason.startswith("approval was revoked by grace on 2026-01-05 12:05 UTC")


@pytest.mark.parametrize("made", range(3))
def test_who_trained_may_not_approve(made: int) -> None:
    rows = list(ROWS)
    rows[made] = replace(rows[made], who="ada")
    approval = decide(VERSION, rows, None, RULES, NOON)
    assert approval.revoked
    assert approval.reason.startswith(f"four eyes: ada trained it ({rows[made].what}, ")


def test_who_started_the_training_by_hand_may_not_approve() -> None:
    rows = [_row("ada", "training triggered"), *ROWS]
    assert "four eyes: ada trained it" in decide(VERSION, rows, None, RULES, NOON).reason


@pytest.mark.parametrize("made", range(3))
def test_a_version_of_which_nobody_knows_who_trained_it_is_not_approved(made: int) -> None:
    rows = [row for row in ROWS if row is not MADE[made]]
    approval = decide(VERSION, rows, None, RULES, NOON)
    assert approval.revoked
    assert approval.reason.startswith("nobody is known to have trained it: the trail has no")
    assert MADE[made].what in approval.reason


def test_what_made_another_run_does_not_stand_for_this_one() -> None:
    other = replace(VERSION, run_id="r2")
    rows = [*ROWS[:3], _row("trainer", "gates: passed", other), _row("ada", GIVEN, other)]
    assert "no 'run created' of runs:/r2" in decide(other, rows, None, RULES, NOON).reason


def test_new_evidence_ends_an_approval_even_when_it_was_recorded() -> None:
    judged_anew = _with_tags(gate__golden="pass sha256:ff")
    rows = [*ROWS, _row("trainer", "gates: passed", judged_anew)]
    assert decide(judged_anew, rows, None, RULES, NOON).revoked
    assert "changed after the approval" in decide(judged_anew, rows, None, RULES, NOON).reason


def test_the_record_of_another_version_with_the_same_number_does_not_count() -> None:
    later = replace(VERSION, created_at=NOON)  # the registry was emptied and filled again
    assert not decide(later, ROWS, None, RULES, NOON).approved


def test_a_broken_trail_approves_nothing() -> None:
    reason = decide(VERSION, ROWS, Tampering(7, "was changed"), RULES, NOON).reason
    assert reason == "audit trail row 7: was changed"


@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        ("one language", "holds no signed waiver"),
        ("[]", "holds no signed waiver"),
        (_tag(_waiver(by="eve")), "eve may not waive; registry.waiver_signers has grace"),
        (_tag(_waiver(by_key="08" * 32)), "the signature is not grace's"),
        (_tag(_waiver().model_copy(update={"until": date(2026, 1, 9)})), "changed after it"),
        (_tag(_waiver(version="models:/spam/4")), "is for models:/spam/4"),
        (_tag(_waiver(artefact=REPORT)), "and its files, not for models:/spam/3"),
        (_tag(_waiver(report=ARTEFACT)), "the gate judged again since"),
        (_tag(_waiver(until=date(2026, 1, 20))), "more than 14 days after"),
        (_tag(_waiver(signed_at=NOON + timedelta(hours=1))), "which is to come"),
        (_tag(_waiver(until=date(2026, 1, 4))), "ended on 2026-01-04"),  # before the approval
    ],
)
def test_a_waiver_that_does_not_count_is_no_evidence_and_says_why(tag: str, reason: str) -> None:
    version = _with_tags(waiver__fairness=tag)
    rows = [*MADE, _row("trainer", "gates: passed", version), _row("ada", GIVEN, version)]
    assert reason in decide(version, rows, None, RULES, NOON).reason


def test_an_expired_waiver_ends_an_approval_that_was_valid_before() -> None:
    last = datetime(2026, 1, 7, 23, 59, 59, tzinfo=UTC)
    assert decide(VERSION, ROWS, None, RULES, last).approved
    late = decide(VERSION, ROWS, None, RULES, last + timedelta(seconds=1))
    assert (late.approved, late.expired, late.revoked) == (False, True, False)
    assert late.reason == (
        "gate fairness: the waiver by grace ended on 2026-01-07; bring evidence or sign anew"
    )


def test_an_approval_lasts_to_the_last_second_of_its_lifetime() -> None:
    end = NOON + timedelta(hours=72)
    version = _with_tags(waiver__fairness=_tag(_waiver(until=date(2026, 1, 19))))
    rows = [*MADE, _row("trainer", "gates: passed", version), _row("ada", GIVEN, version)]
    assert decide(version, rows, None, RULES, end).approved
    late = decide(version, rows, None, RULES, end + timedelta(seconds=1))
    assert (late.approved, late.expired, late.revoked) == (False, True, False)
    assert (late.by, late.at, late.evidence) == ("ada", NOON, evidence_hash(version))
    assert late.reason == "the approval of 2026-01-05 12:00 UTC ran out after 72 hours"


def test_evidence_covers_verdicts_waivers_and_identity_and_nothing_else() -> None:
    assert evidence_hash(VERSION) == evidence_hash(_with_tags(approval=None, note="x"))
    different = [
        _with_tags(gate__golden="pass sha256:ff"),
        _with_tags(waiver__fairness="another reason"),
        _with_tags(artefact="sha256:dd"),
        replace(VERSION, number=4),
        replace(VERSION, source="models:/m-2"),
    ]
    assert len({evidence_hash(version) for version in [VERSION, *different]}) == 6


def test_verdicts_are_read_from_tags() -> None:
    assert gate_verdicts(VERSION.tags) == {"golden": "pass", "fairness": "waived"}
    assert missing_evidence(VERSION.tags, ("golden",)) is None
