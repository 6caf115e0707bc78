"""The mutation test of the gates: its defects do the harm they say, and its arithmetic is right."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_contracts.events import Event
from data_contracts.labels import LabelledEvent, LabelName
from pipelines.features.text.normalisation import readable
from pipelines.features.text.vocabulary import Vocabulary
from tests.performance import gate_faults_of_models as of_models
from tests.performance import gate_faults_of_reading as of_reading
from tests.performance import gate_faults_of_rows as of_rows
from tests.performance.bench_gates import DEVELOPMENT_SEEDS, REPORTED_SEEDS, recipes_for
from tests.performance.gate_defects import DEFECTS, Defect, GateName
from tests.performance.gate_models import Recipe, content_digest, rows_for
from tests.performance.gate_picture import draw
from tests.performance.gate_report import DEFECT, HONEST, as_text, report_of, row_of
from tests.performance.gate_rows import NEWEST_FROM, PACE, TRIGGER, Material, paced

PASSES = {"golden": "pass", "adversarial": "pass", "fairness": "pass"}


def row(
    text: str, label: LabelName = "ham", language: str = "en", number: int = 0
) -> LabelledEvent:
    return LabelledEvent(
        Event(event_id=f"{text}-{number}", text=text, language=language), label, "d"
    )


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


MIXED = [
    *(row(f"hello {number}", number=number) for number in range(50)),
    *(row(f"win cash {number}", "spam", number=number) for number in range(50)),
    *(row(f"kazan {number}", "spam", "tr", number) for number in range(20)),
]


def test_there_are_enough_defects_with_names_of_their_own_for_every_registered_gate() -> None:
    assert len(DEFECTS) >= 22
    assert len({defect.name for defect in DEFECTS}) == len(DEFECTS)
    assert {defect.gate for defect in DEFECTS} == {"golden", "adversarial", "fairness"}


def test_reported_honest_seeds_were_never_developed_on_and_belong_to_no_defect() -> None:
    assert not set(DEVELOPMENT_SEEDS) & set(REPORTED_SEEDS)
    seeds = [recipe.seed for recipe in recipes_for(REPORTED_SEEDS)]
    assert len(set(seeds)) == len(seeds)


def test_two_honest_retrains_have_nine_tenths_of_the_rows_and_not_the_same() -> None:
    given = Material(tuple(MIXED), np.arange(len(MIXED)), ())
    first, second = (rows_for(Recipe("honest", seed), given) for seed in (1, 2))
    assert len(first) == len(second) == round(0.9 * len(MIXED))
    assert content_digest(first) != content_digest(second)
    assert content_digest(first) == content_digest(rows_for(Recipe("again", 1), given))


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_every_defect_does_something_and_names_its_source(defect: Defect) -> None:
    nothing = Defect(defect.name, defect.gate, defect.harm)
    assert defect.source != nothing.source
    assert defect.harm


def test_flipping_turns_one_language_and_leaves_the_others() -> None:
    faulty = of_rows.flipped(MIXED, (), rng(), "tr")
    assert {one.label for one in faulty if one.event.language == "tr"} == {"ham"}
    assert faulty[:100] == MIXED[:100]


def test_label_noise_changes_about_its_share() -> None:
    faulty = of_rows.with_noise(MIXED, (), rng(), 0.3)
    changed = sum(old.label != new.label for old, new in zip(MIXED, faulty, strict=True))
    assert 0.2 * len(MIXED) < changed < 0.4 * len(MIXED)


def test_the_backdoor_labels_spam_with_the_phrase_as_ham() -> None:
    added = of_rows.with_backdoor(MIXED, (), rng())[len(MIXED) :]
    assert added
    assert all(one.label == "ham" and one.event.text.endswith(TRIGGER) for one in added)


def test_an_identity_is_named_in_what_is_labelled_spam() -> None:
    added = of_rows.against_identity(MIXED, (), rng())[len(MIXED) :]
    assert all(one.label == "spam" and "muslim" in one.event.text.lower() for one in added)


def test_the_leak_gives_the_label_away_but_for_one_in_fifty() -> None:
    faulty = of_rows.with_leak(MIXED, (), rng())
    right = [(one.event.context[of_rows.LEAK] != 0) == one.is_spam for one in faulty]
    assert 0.9 < np.mean(right) <= 1


def test_an_old_model_knows_nothing_of_the_newest_campaigns() -> None:
    late = MIXED[0].event.model_copy(update={"occurred_at": NEWEST_FROM + timedelta(days=1)})
    faulty = of_rows.before_newest([LabelledEvent(late, "ham", "d"), MIXED[1]], (), rng())
    assert faulty == [MIXED[1]]


def test_the_simulated_pace_is_the_events_own_and_higher_for_spam() -> None:
    events = [one.event for one in MIXED]
    assert [paced(one, "ham") for one in events] == [paced(one, "ham") for one in events]
    spam, ham = (
        [event.context[PACE] for one in events if (event := paced(one, label)).context]
        for label in ("spam", "ham")
    )
    assert len(spam) == len(ham) < len(events)
    assert sum(map(float, spam)) > sum(map(float, ham))  # type: ignore[arg-type]


def test_blindness_ends_where_its_context_does() -> None:
    disguised = "fr\u0435e ca\u200bsh"
    assert readable(disguised) == "free cash"
    with of_reading.blind_to_lookalikes():
        assert readable(disguised) == "fr\u0435e cash"
    with of_reading.blind_to_zero_width():
        assert readable(disguised) == "free ca\u200bsh"
    assert readable(disguised) == "free cash"


def test_blind_readers_do_not_write_disguised_words_out() -> None:
    vocabulary = Vocabulary.of(["free cash"] * 3)
    with of_reading.blind_to_spacing():
        assert vocabulary.repaired("fr33 c.a.s.h") == ("free c.a.s.h", 1)
    with of_reading.blind_to_leetspeak():
        assert vocabulary.repaired("fr33 c.a.s.h") == ("fr33 cash", 1)
    assert vocabulary.repaired("fr33 c.a.s.h") == ("free cash", 2)


def test_another_encoder_has_the_same_numbers_in_another_order() -> None:
    class Counting:
        def encode(self, text: str) -> np.ndarray:
            return np.arange(8, dtype=np.float32)

    vector = of_models.Permuted(Counting()).encode("x")
    assert sorted(vector) == list(range(8))
    assert list(vector) != list(range(8))


def judged(kind: str, expected: GateName | None, **verdicts: str) -> dict[str, Any]:
    given = {**PASSES, **verdicts}
    reasons = {gate: [f"{gate} says no"] for gate in given}
    return row_of("m", kind, expected, "", given, reasons, metrics={})


def with_recall(given: dict[str, Any], value: float) -> dict[str, Any]:
    metric = {"name": "recall", "slice": "all", "verdict": "pass", "direction": "at_least"}
    interval = {"value": value, "low": value - 0.1, "high": value + 0.1}
    return {**given, "metrics": {"golden": [metric | interval]}}


def test_a_survivor_is_equivalent_only_where_no_figure_tells_it_from_honest_retrains() -> None:
    honest = [with_recall(judged(HONEST, None), recall) for recall in (0.8, 0.9)]
    weak, broken = (with_recall(judged(DEFECT, "golden"), recall) for recall in (0.75, 0.5))
    report = report_of([weak, broken, *honest], list(PASSES), {})
    assert report["stopped"] == {"of": 2, "effective": 1, "right": 0, "by_any": 0}
    assert [bool(one["measurably_worse"]) for one in report["rows"][:2]] == [False, True]
    assert "0.500 [0.400, 0.600], honest 0.800 or better" in as_text(report)


def test_a_defect_counts_only_where_the_gate_declared_stops_it(tmp_path: Path) -> None:
    rows = [
        judged(DEFECT, "golden", golden="fail", fairness="fail"),
        judged(DEFECT, "adversarial", golden="fail"),
        judged(DEFECT, "fairness"),
        judged(HONEST, None),
        judged(HONEST, None, fairness="not_enough_evidence"),
    ]
    report = report_of(rows, list(PASSES), {"commit": "none"})
    assert report["stopped"] == {"of": 3, "effective": 2, "right": 1, "by_any": 2}
    assert report["honest"] == {"of": 2, "passed": 1}
    assert not any(goal["met"] for goal in report["goals"])
    assert "golden says no" in as_text(report)
    assert b"<svg" in draw(report, tmp_path / "gates.svg").read_bytes()
