"""What an image is known as: the nearer standing wins, later hashes are unknown yet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pipelines.features.media.hashes import ImageHashes
from pipelines.hash_bank import HashBank, KnownHash, Standing, open_hash_bank
from pipelines.known_media import UNKNOWN, KnownMedia

NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
ZERO = ImageHashes("0" * 64, 100, "f" * 16)


def pdq(bits: int) -> str:
    """256 bits of which the last `bits` are set."""
    return f"{(1 << bits) - 1:064x}"


def known(bits: int, standing: Standing) -> KnownHash:
    return KnownHash("pdq", pdq(bits), standing, "report", "ana", NOON)


def judged(
    bank: HashBank, hashes: ImageHashes = ZERO, at: datetime = NOON
) -> tuple[str, list[int]]:
    found = KnownMedia.of(bank).judge(hashes, at)
    return found.verdict, [m.distance_bits for m in (found.bad, found.good) if m]


def test_a_bad_hash_within_31_bits_makes_an_image_bad(state_url: str) -> None:
    bank = open_hash_bank(state_url)
    bank.add(known(32, "bad"))
    assert judged(bank) == ("unknown", [])
    bank.add(known(31, "bad"))
    assert judged(bank) == ("known_bad", [31])


def test_good_wins_only_if_it_is_nearer(state_url: str) -> None:
    bank = open_hash_bank(state_url)
    bank.add(known(10, "bad"))
    bank.add(KnownHash("pdq", f"{0x3FF << 200:064x}", "good", "archive", "ben", NOON))
    assert judged(bank) == ("known_bad", [10, 10])
    bank.add(known(9, "good"))
    assert judged(bank) == ("known_good", [10, 9])


def test_kinds_compare_by_share_of_their_radius(state_url: str) -> None:
    bank = open_hash_bank(state_url)
    bank.add(known(16, "bad"))
    bank.add(KnownHash("phash", "f" * 15 + "e", "good", "archive", "ben", NOON))
    assert judged(bank) == ("known_good", [16, 1])  # 16 of 31 is more than 1 of 4


def test_an_image_with_little_in_it_is_unknown(state_url: str) -> None:
    bank = open_hash_bank(state_url)
    bank.add(known(0, "bad"))
    assert judged(bank) == ("known_bad", [0])
    flat = ZERO._replace(pdq_quality=49)
    assert KnownMedia.of(bank).judge(flat, NOON) == UNKNOWN


def test_an_event_is_judged_by_what_was_known_at_its_time(state_url: str) -> None:
    bank = open_hash_bank(state_url)
    bank.add(known(0, "bad"))
    second = timedelta(seconds=1)
    assert judged(bank, at=NOON - second) == ("unknown", [])
    bank.remove("pdq", pdq(0), "ben", NOON + 2 * second)
    assert judged(bank, at=NOON + second) == ("unknown", [])
    before = KnownMedia.of(bank, as_of=NOON + second)
    assert before.judge(ZERO, NOON + second).verdict == "known_bad"
    assert KnownMedia.of(bank, as_of=NOON - second).judge(ZERO, NOON + second) == UNKNOWN
