"""The hash bank: exact and near matches, provenance, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from pipelines.hash_bank import HASHES, KnownHash, open_hash_bank
from pipelines.state import open_state, reading

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
ZERO = "0" * 16
BAD = KnownHash("phash", ZERO, "bad", "campaign 12", "ana", NOW)


def test_an_added_hash_is_found_with_its_provenance(state_url: str) -> None:
    bank = open_hash_bank(state_url)
    assert bank.add(BAD)
    assert bank.find("phash", ZERO) == BAD
    assert bank.find("other", ZERO) is None
    assert not bank.add(replace(BAD, added_by="ben"))
    assert bank.find("phash", ZERO) == BAD


def test_hamming_distance_counts_bits_by_hand_nearest_first(state_url: str) -> None:
    bank = open_hash_bank(state_url)
    one = replace(BAD, value="0000000000000001", standing="good")  # 1 bit
    five = replace(BAD, value="f000000000000001")  # 5 bits
    far = replace(BAD, value="f" * 16)  # 64 bits
    for known in (far, five, BAD, one):
        bank.add(known)
    matches = bank.snapshot("phash", 64).nearest(ZERO, radius_bits=5)
    assert [(match.known, match.distance_bits) for match in matches] == [
        (BAD, 0),
        (one, 1),
        (five, 5),
    ]


def test_hashes_of_256_bits_match_across_word_bounds(state_url: str) -> None:
    bank = open_hash_bank(state_url)
    pdq = KnownHash("pdq", "80" + "0" * 60 + "01", "bad", "report", "ana", NOW)
    bank.add(pdq)
    (match,) = bank.snapshot("pdq", 256).nearest("0" * 64, radius_bits=31)
    assert (match.known, match.distance_bits) == (pdq, 2)
    assert bank.snapshot("pdq", 256).nearest("f" * 64, radius_bits=31) == []
    assert bank.snapshot("pdq", 64).nearest(ZERO, radius_bits=64) == []


def test_a_removed_hash_matches_no_more_but_its_history_stays(state_url: str) -> None:
    bank = open_hash_bank(state_url)
    bank.add(BAD)
    assert bank.remove("phash", ZERO, "ben", NOW)
    assert not bank.remove("phash", ZERO, "ben", NOW)
    assert bank.find("phash", ZERO) is None
    assert bank.snapshot("phash", 64).nearest(ZERO, 64) == []
    assert bank.add(replace(BAD, standing="good"))
    engine = open_state(state_url)
    with reading(engine) as connection:
        rows = connection.execute(select(HASHES.c.standing, HASHES.c.removed_by)).all()
    engine.dispose()
    assert [tuple(row) for row in rows] == [("bad", "ben"), ("good", None)]


def test_a_hash_cannot_be_bad_and_good_at_once(state_url: str) -> None:
    bank = open_hash_bank(state_url)
    bank.add(BAD)
    with pytest.raises(ValueError, match="known as bad, by ana; remove it before"):
        bank.add(replace(BAD, standing="good"))


@pytest.mark.parametrize("value", ["", "00", "G" * 16, "F" * 16, "0" * 17])
def test_what_is_no_hash_is_refused(tmp_path: object, value: str) -> None:
    bank = open_hash_bank(f"sqlite:///{tmp_path}/bank.sqlite")
    with pytest.raises(ValueError, match="lower-case hexadecimal"):
        bank.add(replace(BAD, value=value))
    with pytest.raises(ValueError, match="lower-case hexadecimal"):
        bank.find("phash", value)


def test_lengths_standings_and_bits_are_checked(tmp_path: object) -> None:
    bank = open_hash_bank(f"sqlite:///{tmp_path}/bank.sqlite")
    with pytest.raises(ValueError, match="another length"):
        bank.snapshot("pdq", 256).nearest(ZERO, 5)
    with pytest.raises(ValueError, match="say bad or good"):
        bank.add(replace(BAD, standing="odd"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="bits 128 is none of"):
        bank.snapshot("md5", 128)
