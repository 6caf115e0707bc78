"""The golden suite: cases come with their provenance, once, and training never sees the like."""

from __future__ import annotations

import argparse
from pathlib import Path

import orjson
import pytest

from data_contracts.config import Settings, load_settings
from data_contracts.errors import BadInput, ContractViolation, MissingPart
from data_contracts.events import Event
from data_contracts.labels import LabelledEvent
from evaluation.gates.suite import golden_cases, lake_suite
from evaluation.gates.suite_store import run
from pipelines.golden_cases import FOLDER, read_cases
from training.labelled_rows import apart_from_cases

APPEAL = "your parcel with order number 4711 could not be delivered this morning"
CAMPAIGN = [
    f"claim your prize of {number} pounds at our counter before friday" for number in (10, 20)
]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"WEIR_HOME": str(tmp_path / "home")})


def add(settings: Settings, tmp_path: Path, *lines: dict, **given: str) -> dict:
    path = tmp_path / "cases.jsonl"
    path.write_bytes(b"\n".join(map(orjson.dumps, lines)))
    asked = {
        "action": "add", "kind": "must_not_block", "source": "appeal", "reference": "A-17",
        "by": "ada", "reason": "overturned on appeal",
    }  # fmt: skip
    return run(argparse.Namespace(cases=path, **(asked | given)), settings)


def show(settings: Settings) -> list[dict]:
    return run(argparse.Namespace(action="show"), settings)["table"]


def test_a_case_keeps_where_it_comes_from_and_no_account(settings: Settings, tmp_path) -> None:
    event = {"event_id": "e1", "text": APPEAL, "language": "en", "account": "ada"}
    assert add(settings, tmp_path, event)["added"] == 1
    (case,) = read_cases(settings.lake)
    assert (case.kind, case.label, case.event.account) == ("must_not_block", "ham", None)
    assert case.provenance.source == "appeal"
    assert (case.provenance.reference, case.provenance.added_by) == ("A-17", "ada")
    assert golden_cases(settings.lake)[0].dataset == "golden/appeal"


def test_the_same_content_is_added_once_whatever_its_id(settings: Settings, tmp_path) -> None:
    add(settings, tmp_path, {"event_id": "e1", "text": APPEAL})
    before = (settings.lake / FOLDER / "must_not_block.jsonl").read_bytes()
    again = add(settings, tmp_path, {"event_id": "e2", "text": APPEAL}, reference="A-18")
    assert (again["added"], again["known_before"]) == (0, 1)
    assert (settings.lake / FOLDER / "must_not_block.jsonl").read_bytes() == before


def test_one_content_cannot_have_two_answers(settings: Settings, tmp_path) -> None:
    add(settings, tmp_path, {"event_id": "e1", "text": APPEAL})
    with pytest.raises(BadInput, match=r"must_not_block \(ham\) since .* by ada"):
        add(settings, tmp_path, {"event_id": "e1", "text": APPEAL}, kind="must_catch")
    assert len(read_cases(settings.lake)) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"event_id": "e"}, "line 1: text = None: is missing"),
        ({"event_id": "e", "text": "t", "label": "spam"}, "label = 'spam': contradicts --kind"),
        ({"event_id": "e", "text": "t", "family": ""}, "family = '': is not a name"),
        ({"event_id": "e", "text": "t", "colour": 1}, "colour"),
    ],
)
def test_a_bad_line_is_named_with_its_field(settings: Settings, tmp_path, line, message) -> None:
    with pytest.raises(ContractViolation, match=message):
        add(settings, tmp_path, line)
    assert read_cases(settings.lake) == []


def test_an_ordinary_case_needs_its_label(settings: Settings, tmp_path) -> None:
    with pytest.raises(ContractViolation, match="needs spam or ham"):
        add(settings, tmp_path, {"event_id": "e", "text": "t"}, kind="ordinary")
    line = {"event_id": "e", "text": "t", "label": "ham"}
    assert add(settings, tmp_path, line, kind="ordinary")["added"] == 1


@pytest.mark.parametrize("name", ["reference", "by", "reason"])
def test_provenance_cannot_be_empty(settings: Settings, tmp_path, name: str) -> None:
    with pytest.raises(BadInput, match="has 0 characters"):
        add(settings, tmp_path, {"event_id": "e", "text": "t"}, **{name: " "})


def test_what_is_left_out_of_the_command_is_named(settings: Settings, tmp_path) -> None:
    with pytest.raises(BadInput, match="suite add needs --reference"):
        add(settings, tmp_path, {"event_id": "e", "text": "t"}, reference=None)
    absent = argparse.Namespace(
        action="add", cases=tmp_path / "absent.jsonl", kind="must_catch", source="hand",
        reference="r", by="ada", reason="why",
    )  # fmt: skip
    with pytest.raises(MissingPart, match="no such file"):
        run(absent, settings)


def test_a_broken_store_names_file_and_line(settings: Settings) -> None:
    path = settings.lake / FOLDER / "must_catch.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("{}\n")
    with pytest.raises(BadInput, match=r"must_catch.jsonl line 1 .*dvc checkout"):
        read_cases(settings.lake)


def test_near_duplicates_are_one_family_and_take_the_name_that_one_of_them_has(
    settings: Settings, tmp_path
) -> None:
    lines = [{"event_id": str(at), "text": text} for at, text in enumerate(CAMPAIGN)]
    add(settings, tmp_path, *lines, {"event_id": "z", "text": APPEAL}, kind="must_catch")
    families = {case.event.text: case.family for case in read_cases(settings.lake)}
    assert families[CAMPAIGN[0]] == families[CAMPAIGN[1]]
    assert str(families[CAMPAIGN[0]]).startswith("group-")
    assert families[APPEAL] is None
    third = CAMPAIGN[0].replace("10", "30") + "!"
    add(settings, tmp_path, {"event_id": "n", "text": third, "family": "prize"}, kind="must_catch")
    named = {case.family for case in read_cases(settings.lake) if "prize" in case.event.text}
    assert named == {"prize"}
    (row,) = [row for row in show(settings) if row["family"] == "prize"]
    assert row == {
        "kind": "must_catch", "language": "und", "modality": "text", "family": "prize",
        "source": "appeal", "cases": 3,
    }  # fmt: skip


def test_training_leaves_out_what_resembles_a_case(settings: Settings, tmp_path) -> None:
    picture = {"kind": "image", "sha256": "a" * 64, "path": "a.png"}
    add(
        settings, tmp_path, {"event_id": "e", "text": APPEAL},
        {"event_id": "p", "text": "", "media": [picture]},
    )  # fmt: skip

    def row(name: str, text: str, **more: object) -> LabelledEvent:
        event = Event.model_validate({"event_id": name, "text": text, **more})
        return LabelledEvent(event, "ham", "made")

    rows = [
        row("other id, other number", APPEAL.replace("4711", "0815").upper()),
        row("same picture", "look at this", media=[picture]),
        row("unrelated", "shall we have lunch together on sunday"),
        row("no words at all", ""),
    ]
    kept = apart_from_cases(rows, settings.lake)
    assert [one.event.event_id for one in kept.rows] == ["unrelated", "no words at all"]
    assert kept.left_out == 2


def test_cases_join_the_groups_of_what_they_resemble(settings: Settings, tmp_path) -> None:
    add(settings, tmp_path, *({"event_id": str(at), "text": t} for at, t in enumerate(CAMPAIGN)))
    empty = lake_suite(settings.lake)
    suite = empty.with_cases(golden_cases(settings.lake))
    assert len(suite.cases) == 2
    assert suite.groups[0] == suite.groups[1]
    assert suite.version != empty.version
    assert empty.with_cases([]) is empty
