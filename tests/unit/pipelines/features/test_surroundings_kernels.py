"""What was written again to be quick says the same as what it stands for."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from pipelines import near_duplicates
from pipelines.feature_store.states import MemoryStates
from pipelines.features.surroundings.fingerprints import _MAY_LINK, domains, near_texts
from pipelines.features.surroundings.signatures import signature
from pipelines.features.surroundings.trails import (
    DAY,
    HOUR,
    NOTHING,
    first_seen,
    share_of,
    spreads,
    write_trail,
)
from pipelines.features.surroundings.trends import packed_rates, unpack
from pipelines.features.text.lexical import URL

ALPHABET = "abc dé你好🎉0.:/w"
LINKS = ("www.é", "http://x", "a.com", "b.co.uk/x", "//", ".", "com", "see", "...", "1.5", "Z.ME")


def drawn(rng: np.random.Generator, length: int) -> str:
    return "".join(rng.choice(list(ALPHABET), length))


@pytest.mark.parametrize("length", [0, 1, 3, 4, 5, 40, 515, 516, 700, 6000])
def test_a_signature_is_that_of_near_duplicates(length: int) -> None:
    rng = np.random.default_rng(length)
    for _ in range(5):
        text = drawn(rng, length)
        quick, known = signature(text), near_duplicates.signature(text)
        if known is None:
            assert quick is None
        else:
            assert quick is not None
            assert np.array_equal(quick, known)


def test_no_link_is_missed_by_the_glance_before_the_search() -> None:
    rng = np.random.default_rng(1)
    texts = ["".join(rng.choice([*LINKS, " ", "\n"], 6)) for _ in range(3000)]
    linked = [text for text in texts if URL.search(text)]
    assert 100 < len(linked) < len(texts)
    assert all(_MAY_LINK.search(text) for text in linked)
    assert all(not domains(text) for text in texts if not URL.search(text))


def test_a_packed_trail_is_counted_as_its_sightings_are() -> None:
    rng = np.random.default_rng(2)
    for posts in (1, 2, 10, 64, 90):
        trail = NOTHING
        for _ in range(posts):
            at, who, where = rng.random() * 3 * DAY, *rng.integers(0, 6, 2)
            trail = trail.joined(float(at), int(who), int(where))
        states = MemoryStates()
        write_trail(states, "t", trail)
        packed = states.get("t")
        assert packed is not None
        for now in (*trail.sightings["at"][:3].tolist(), DAY, 2.5 * DAY, 4 * DAY):
            past = trail.sightings[trail.sightings["at"] <= now]
            first = min(trail.first, float(past["at"][0])) if len(past) else None
            assert first_seen(packed, now) == first
            for seconds, found in zip((HOUR, inf), spreads(packed, now, HOUR, inf), strict=True):
                window = past[past["at"] > now - seconds]
                expected = (len(window), _distinct(window["who"]), _distinct(window["where"]))
                assert found == expected
            if len(past):
                assert share_of(packed, now, 3) == float((past["who"] == 3).mean())


def test_rates_of_a_packed_counter_are_the_counters() -> None:
    rng = np.random.default_rng(3)
    for _ in range(300):
        slot = int(rng.integers(5, 50))
        counter = unpack(None, slot)
        for _ in range(int(rng.integers(0, 20))):
            slot += int(rng.integers(-2, 4))
            counter = counter.one_more(slot)
        for asked in range(slot - 4, slot + 2000, 97):
            assert packed_rates(counter.pack(), asked) == counter.rates(asked)


def test_texts_are_near_from_the_similarity_on() -> None:
    content = bytes(range(64))
    far, near = bytes(64), content[:45] + bytes(19)  # 45 of 64 is 0.703
    assert near_texts(content, [far, near, content]) == [near, content]


def _distinct(marks: np.ndarray[tuple[int], np.dtype[np.uint32]]) -> int:
    return len(set(marks.tolist()) - {0})
