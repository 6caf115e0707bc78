"""An artefact knows its training rows again, and holds none of their words."""

from __future__ import annotations

from data_contracts.events import Event, MediaReference
from tests import gate_cases as made
from training.artefact_files import arrays_to_bytes
from training.seen_rows import SeenRows, seen_rows

ROWS = [*made.labelled(30, 30, "en"), *made.labelled(30, 30, "tr")]


def kept(rows: list) -> SeenRows:
    found = SeenRows.of(arrays_to_bytes(**seen_rows(rows)))
    assert found is not None
    return found


def test_every_row_and_its_near_duplicates_are_known_and_others_are_not() -> None:
    found = kept(ROWS[::2])
    disguised = [
        row.event.model_copy(update={"text": row.event.text.upper() + " 12!"}) for row in ROWS[::2]
    ]
    assert found.saw([row.event for row in ROWS[::2]]).all()
    assert found.saw(disguised).all()
    assert not found.saw([row.event for row in ROWS[1::2]]).any()


def test_a_medium_is_known_by_its_bytes_and_an_empty_text_is_no_resemblance() -> None:
    def picture(digit: str) -> Event:
        reference = MediaReference(kind="image", sha256=digit * 64, path="p.png")
        return Event(event_id=digit, text="", media=(reference,))

    row = made.labelled(1, 0)[0]
    found = kept([type(row)(picture("a"), "spam", "made")])
    assert found.saw([picture("a"), picture("b")]).tolist() == [True, False]


def test_no_word_of_a_row_stands_in_the_arrays() -> None:
    content = b"".join(array.tobytes() for array in seen_rows(ROWS).values())
    assert len(content) == 64 * len(ROWS)
    assert not any(word.encode() in content for row in ROWS for word in row.event.text.split())


def test_an_older_artefact_says_that_it_does_not_know() -> None:
    assert SeenRows.of(b"") is None
    assert SeenRows.of(arrays_to_bytes()) is None
    assert kept([]).saw([row.event for row in ROWS[:2]]).tolist() == [False, False]
