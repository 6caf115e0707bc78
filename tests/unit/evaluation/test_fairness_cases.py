"""Which questions the fairness gate asks, and what a message is sliced by."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest

from data_contracts.config import Settings, load_settings
from data_contracts.events import Event
from evaluation.gates.fairness_cases import PAIR, PROBE, account_age, identity_cases, traffic_value
from evaluation.gates.fairness_terms import NO_GROUP, dialect_of, identity_of
from evaluation.gates.policy import Fairness, Identity, IdentitySet, load_policy
from evaluation.gates.suite import Case

POLICY = load_policy(load_settings().gates.policy).fairness
HATECHECK, WIKI = "fairness_hatecheck_en", "fairness_wiki_toxicity_identity_swap"


def settings_at(root: Path) -> Settings:
    settings = load_settings()
    data = settings.data.model_copy(update={"root": root, "download": False})
    return settings.model_copy(update={"data": data})


def asking(**each: int) -> Fairness:
    sets = {
        name: IdentitySet(each=count, pairs="wiki" in name)
        for name, count in each.items()
    }  # fmt: skip
    identity: Identity = POLICY.identity.model_copy(update={"sets": sets})
    return POLICY.model_copy(update={"identity": identity})


def place(root: Path, folder: str, lines: list[str]) -> None:
    (root / folder).mkdir(parents=True)
    (root / folder / "data.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))


def hatecheck(root: Path) -> None:
    header = "functionality,test_case,label_gold,target_ident,templ_id"
    rows = [
        f"ident_pos_nh,I am one of the {group} number {number}.,non-hateful,{group},{number}"
        for group in ("women", "jews")
        for number in range(5)
    ]  # fmt: skip
    hateful = "threat_dir_h,gone,hateful,women,99"
    untargeted = "profanity_nh,Women: what a damn day,non-hateful,,100"
    place(root, HATECHECK, [header, *rows, hateful, untargeted])


def test_a_set_that_is_absent_is_a_note_and_no_error(tmp_path: Path) -> None:
    cases, notes = identity_cases(asking(fairness_hatecheck_en=9), settings_at(tmp_path))
    assert cases == []
    assert len(notes) == 1
    assert "fairness_hatecheck_en" in notes[0]


def test_cases_are_ham_that_must_not_be_blocked_and_hide_what_the_set_says(tmp_path: Path) -> None:
    hatecheck(tmp_path)
    cases, notes = identity_cases(asking(fairness_hatecheck_en=9), settings_at(tmp_path))
    assert (len(cases), notes) == (11, [])
    assert {(case.kind, case.is_spam) for case in cases} == {("must_not_block", False)}
    assert all(not case.event.context and case.attributes[PROBE] == HATECHECK for case in cases)
    assert {case.attributes.get("identity") for case in cases} == {"women", "Jews", None}


def test_a_cap_draws_the_same_cases_again_and_keeps_them_when_it_grows(tmp_path: Path) -> None:
    hatecheck(tmp_path)
    drawn = [
        identity_cases(asking(fairness_hatecheck_en=each), settings_at(tmp_path))[0]
        for each in (2, 2, 4)
    ]
    ids = [[case.event.event_id for case in cases] for cases in drawn]
    assert ids[0] == ids[1]
    assert len(ids[0]) == 5  # two a group, and the one that targets none
    assert set(ids[0]) < set(ids[2])


def test_pairs_stay_whole_and_pairs_without_a_swap_are_left_out(tmp_path: Path) -> None:
    rows = [
        f"{number},a gay editor {number},False,a christian editor {number}" for number in range(6)
    ]
    equal = "7,the same words,False,the same words"
    header = "rev_id,comment_original,toxic,comment_identity_swapped"
    place(tmp_path, WIKI, [header, *rows, equal])
    policy = asking(fairness_wiki_original=3, fairness_wiki_swapped=3)
    cases, _ = identity_cases(policy, settings_at(tmp_path))
    pairs = [case.attributes[PAIR] for case in cases]
    assert len(cases) == 6
    assert all(pairs.count(pair) == 2 for pair in pairs)


@pytest.mark.parametrize(
    ("text", "language", "identity"),
    [
        ("Lena ist eine wundervolle taube", "de", "disabled people"),
        ("你是一位友好的同性恋", "zh", "gay people"),
        ("I told her the male nurse was kind", "en", "men"),
        ("tomatoes are on offer", "en", None),  # not `male`, not `old`
        ("Muslim", "xx", None),
    ],
)
def test_identities_are_whole_words_of_the_language(
    text: str, language: str, identity: str | None
) -> None:
    assert identity_of(text, language) == identity


@pytest.mark.parametrize(
    "text", ["he be working late", "I ain't got no time", "dis da one", "she done finished it"]
)
def test_marks_of_the_dialect_are_found(text: str) -> None:
    assert dialect_of(text, "en") == "african-american-english"


def test_a_message_is_sliced_by_what_its_event_says() -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    context = {"account_created_at": "2025-12-01T00:00:00Z", "country": "tr"}
    case = Case(
        Event(event_id="e", text="my old friend", occurred_at=at, language="en", context=context),
        is_spam=False, dataset="lake",
    )  # fmt: skip
    found = {by: traffic_value(case, by) for by in POLICY.by}
    assert found == {
        "language": "en", "dialect": "unmarked", "identity": "old people",
        "account_age": "30 days to a year", "region": "TR",
    }  # fmt: skip
    bare = Case(Event(event_id="b", text="hi", language="en"), is_spam=False, dataset="lake")
    assert [traffic_value(bare, by) for by in POLICY.by] == ["en", "unmarked", NO_GROUP, None, None]


@pytest.mark.parametrize("made", ["soon", 12, None])
def test_an_account_without_a_readable_birth_has_no_age(made: object) -> None:
    context = {"account_created_at": made}
    event = Event(
        event_id="e", text="", occurred_at=datetime(2026, 1, 1, tzinfo=UTC), context=context
    )
    assert account_age(event) is None
