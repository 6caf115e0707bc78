"""The golden gate beyond its behaviour suite: slices, named cases and guards, each on its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from data_contracts.config import load_settings
from data_contracts.events import Event
from data_contracts.protocols import Assessor
from data_contracts.reports import GateReport, Metric
from evaluation.gates.base import Answers, Contender
from evaluation.gates.golden import GoldenGate
from evaluation.gates.golden_calibration import calibration
from evaluation.gates.golden_guards import forgotten_languages
from evaluation.gates.origin import NOTHING_KNOWN, Origin
from evaluation.gates.policy import Golden, Rule, load_policy
from evaluation.gates.suite import Case, Suite, suite_of
from pipelines.text_signatures import fingerprints
from tests import gate_cases as made
from training.seen_rows import SeenRows, described_reach

SHIPPED: Golden = load_policy(load_settings().gates.policy).golden
POLICY = SHIPPED.model_copy(update={"resamples": 100})
MANY = suite_of([*made.labelled(60, 1000, "en"), *made.labelled(60, 1000, "tr")])


def judge(
    model: Assessor,
    champion: Assessor | None = None,
    suite: Suite = MANY,
    origin: Origin = NOTHING_KNOWN,
    policy: Golden = POLICY,
    champion_origin: Origin = NOTHING_KNOWN,
) -> GateReport:
    return GoldenGate(policy).judge(
        suite,
        Contender("challenger", model, origin),
        Contender("champion", champion, champion_origin) if champion else None,
        np.random.default_rng(0),
    )


def metric(report: GateReport, name: str, part: str = "all") -> Metric:
    (found,) = [m for m in report.metrics if (m.name, m.slice) == (name, part)]
    return found


def wrong_on_ham(share: float, language: str) -> made.ByRule:
    """Perfect but for a share of one language's ham, which it blocks."""
    return made.ByRule(
        lambda e: (
            0.9 if made.is_spam(e) or (e.language == language and made.noise(e) < share) else 0.1
        )
    )


def trained_on(suite: Suite, share: float) -> Origin:
    texts = [event.text for event in suite.events]
    return Origin(seen=SeenRows(fingerprints(texts[: round(share * len(texts))]), frozenset()))


def test_two_points_more_false_positives_in_one_language_fail_there_and_only_there() -> None:
    report = judge(wrong_on_ham(0.02, "tr"), made.PERFECT)
    name = "false_positive_rate_over_champion"
    assert metric(report, name, "language=tr").verdict == "fail"
    assert metric(report, name, "language=en").verdict == "pass"
    assert report.verdict == "fail"


def test_two_slices_of_the_same_cases_are_one_test_and_both_say_so() -> None:
    """Seven more of 350: p is .01; language and data set of each are the same cases."""
    suite = suite_of([*made.labelled(60, 1000, "en"), *made.labelled(60, 350, "tr")])
    wrong = {
        case.event.event_id
        for case in suite.cases
        if case.language == "tr" and not case.is_spam
        and int(case.event.event_id.rsplit("-", 1)[1]) < 7
    }  # fmt: skip
    blocks = made.ByRule(lambda e: 0.9 if made.is_spam(e) or e.event_id in wrong else 0.1)
    report = judge(blocks, made.PERFECT, suite)
    for part in ("language=tr", "dataset=made_tr"):
        found = metric(report, "false_positive_rate_over_champion", part)
        assert found.verdict == "fail"
        assert found.value == pytest.approx(7 / 350)


def test_the_same_two_points_on_few_cases_are_no_evidence_of_anything() -> None:
    few = suite_of([*made.labelled(60, 150, "en"), *made.labelled(60, 150, "tr")])
    found = metric(
        judge(wrong_on_ham(0.02, "tr"), made.PERFECT, few),
        "false_positive_rate_over_champion", "language=tr",
    )  # fmt: skip
    assert found.verdict != "fail"


@pytest.mark.parametrize("seed", range(10))
def test_retrains_that_differ_by_chance_alone_pass(seed: int) -> None:
    """Each decides 2 of 1,000 ham and 4 of 100 spam otherwise than the champion, both ways."""

    def by(salt: str) -> made.ByRule:
        def score(event: Event) -> float:
            draw = made.noise(event.model_copy(update={"event_id": event.event_id + salt}))
            return 0.9 if (draw > 0.04 if made.is_spam(event) else draw < 0.002) else 0.1

        return made.ByRule(score)

    report = judge(by(f"a{seed}"), by(f"b{seed}"))
    rates = ("recall_over_champion", "false_positive_rate_over_champion")
    compared = [m for m in report.metrics if m.name in rates]
    assert len(compared) == 12
    assert {m.verdict for m in compared} == {"pass"}


def test_a_flipped_language_fails_however_good_the_other_is() -> None:
    flipped = made.ByRule(lambda e: 0.9 if made.is_spam(e) == (e.language == "en") else 0.1)
    report = judge(flipped, made.PERFECT)
    assert metric(report, "recall_over_champion", "language=tr").verdict == "fail"
    assert metric(report, "recall_over_champion", "language=en").verdict == "pass"


def test_a_slice_under_its_minimum_is_not_compared() -> None:
    suite = suite_of([*made.labelled(60, 200, "en"), *made.labelled(10, 20, "tr")])
    report = judge(made.ENGLISH_ONLY, made.PERFECT, suite)
    compared = {m.slice for m in report.metrics if m.name == "recall_over_champion"}
    assert "language=en" in compared
    assert "language=tr" not in compared


def named(kind: str, count: int, wrong: int) -> tuple[Suite, made.ByRule]:
    """`count` named cases, of which the model answers `wrong` wrongly."""
    is_spam = kind == "must_catch"
    cases = [
        Case(event, is_spam, "golden/appeal", kind, {"family": "parcels"})  # type: ignore[arg-type]
        for event in (
            Event(event_id=f"named {at}", text=f"case {chr(97 + at) * 40}", language="de")
            for at in range(count)
        )
    ]
    wrongly = {case.event.event_id for case in cases[:wrong]}
    model = made.ByRule(
        lambda e: made.PERFECT.score(e)
        if e.language != "de"
        else 0.9 if is_spam != (e.event_id in wrongly) else 0.1
    )  # fmt: skip
    return made.two_languages().with_cases(cases), model


@pytest.mark.parametrize(
    ("kind", "wrong", "verdict"),
    [
        ("must_not_block", 0, "pass"), ("must_not_block", 1, "fail"),
        ("must_catch", 2, "pass"), ("must_catch", 3, "fail"),
    ],
)  # fmt: skip
def test_named_cases_have_an_exact_floor(kind: str, wrong: int, verdict: str) -> None:
    suite, model = named(kind, 20, wrong)
    report = judge(model, suite=suite)
    found = metric(report, f"{kind}_right")
    assert (found.verdict, found.sample_size) == (verdict, 20)
    assert report.verdict == verdict, report.reasons
    assert metric(report, f"{kind}_right", "family=parcels").verdict is None


def test_a_suite_that_was_trained_on_fails() -> None:
    report = judge(made.PERFECT, origin=trained_on(MANY, 1.0))
    assert metric(report, "seen_in_training", "kind=ordinary").verdict == "fail"
    assert report.verdict == "fail"


def test_the_few_cases_that_training_saw_are_left_out_and_counted() -> None:
    suite = made.two_languages()
    report = judge(made.PERFECT, suite=suite, origin=trained_on(suite, 0.02))
    assert report.details["left_out_as_seen_in_training"] == 5
    assert metric(report, "average_precision").sample_size == len(suite.cases) - 5
    assert report.verdict == "pass", report.reasons


def test_a_champion_is_not_compared_on_what_it_was_trained_on() -> None:
    suite = made.two_languages()
    origin = trained_on(suite, 0.25)
    report = judge(made.PERFECT, made.PERFECT, suite, champion_origin=origin)
    assert metric(report, "average_precision_over_champion").sample_size == 180
    assert metric(report, "average_precision").sample_size == 240


def with_context(suite: Suite, entry: Callable[[Case], float]) -> Suite:
    cases = tuple(
        replace(case, event=case.event.model_copy(update={"context": {"risk": entry(case)}}))
        for case in suite.cases
    )
    return Suite(cases, suite.groups)


def test_a_context_entry_that_gives_the_label_away_is_found_by_taking_it_away() -> None:
    suite = with_context(made.two_languages(), lambda case: float(case.is_spam))
    leaky = made.ByRule(lambda e: 0.9 if e.context.get("risk") == 1.0 else 0.1)
    report = judge(leaky, suite=suite)
    assert metric(report, "average_precision").verdict == "pass"
    assert metric(report, "average_precision_without_context").verdict == "fail"
    honest = judge(made.PERFECT, suite=suite)
    assert honest.verdict == "pass", honest.reasons
    assert metric(honest, "recall_without_context").value == 0


def test_thresholds_must_keep_roughly_what_they_were_fitted_for() -> None:
    origin = Origin(promised_false_positive_rate=0.001)
    kept = judge(wrong_on_ham(0.004, "tr"), origin=origin)
    assert metric(kept, "promised_false_positive_rate").verdict == "pass"
    broken = judge(wrong_on_ham(0.05, "tr"), origin=origin)
    assert metric(broken, "promised_false_positive_rate").verdict == "fail"


def test_a_head_that_is_never_sure_is_miscalibrated() -> None:
    timid = made.ByRule(lambda e: 0.55 if made.is_spam(e) else 0.45)
    assert metric(judge(timid), "expected_calibration_error").verdict == "fail"


@pytest.mark.parametrize(
    ("scale", "shift", "failing"),
    [
        (1, 0, set()), (4, 0, {"calibration_slope"}), (0.25, 0, {"calibration_slope"}),
        (1, 2, {"calibration_offset"}), (1, -2, {"calibration_offset"}),
    ],
)  # fmt: skip
def test_a_head_that_is_too_sure_or_too_timid_or_too_high_or_too_low_fails(
    scale: float, shift: float, failing: set[str]
) -> None:
    """Labels drawn from the log-odds themselves; the head reports others."""
    rng = np.random.default_rng(3)
    log_odds = rng.normal(-2, 3, size=2000)
    cases = tuple(
        Case(
            Event(event_id=str(at), text=str(at)), bool(rng.random() < 1 / (1 + np.exp(-one))), "d"
        )
        for at, one in enumerate(log_odds)
    )
    scores = 1 / (1 + np.exp(-(scale * log_odds + shift)))
    suite = Suite(cases, np.arange(len(cases)))
    found = list(calibration(POLICY.calibration, suite, Answers(scores, scores > 0.5)))
    assert {one.name for one in found if one.verdict == "fail"} >= failing
    assert failing or all(one.verdict == "pass" for one in found)
    assert found[0].value == pytest.approx(1 / scale, rel=0.15)


def test_languages_corpora_and_times_beyond_the_training_are_shown_and_not_judged() -> None:
    suite = made.two_languages()
    late = {"occurred_at": datetime(2026, 2, 1, tzinfo=UTC)}
    cases = tuple(
        replace(case, event=case.event.model_copy(update=late)) if case.is_spam else case
        for case in suite.cases
    )
    origin = Origin(
        frozenset({"made_en"}), frozenset({"en"}), datetime(2026, 1, 5, tzinfo=UTC)
    )  # fmt: skip
    report = judge(made.PERFECT, suite=Suite(cases, suite.groups), origin=origin)
    for part in ("zero_shot=language", "zero_shot=corpus"):
        assert metric(report, "recall", part).sample_size == 40
        assert metric(report, "false_positive_rate", part).sample_size == 80
        assert metric(report, "recall", part).verdict is None
    assert metric(report, "recall", "time=after_training").sample_size == 80


def test_a_rule_judges_what_lies_beyond_the_training() -> None:
    floor = Rule(better="high", bound=0.9, limit=0.5, reason="a language that was promised")
    reach = POLICY.reach.model_copy(update={"rules": {"zero_shot=language": {"recall": floor}}})
    report = judge(
        made.ENGLISH_ONLY,
        origin=Origin(languages=frozenset({"en"})),
        policy=POLICY.model_copy(update={"reach": reach}),
    )
    assert metric(report, "recall", "zero_shot=language").verdict == "fail"


def test_rows_say_which_languages_and_times_they_reach() -> None:
    rows = made.labelled(1, 2, "en")
    assert described_reach(rows) == {"languages": {"en": 3}, "latest_event": None}


@pytest.mark.parametrize(
    ("taught", "before", "verdicts"),
    [
        ({"en"}, {"en", "tr"}, ["fail"]),
        ({"en", "tr"}, {"en", "tr"}, ["pass"]),
        ({"en"}, {"en", "fr"}, ["pass"]),  # the suite has no French to speak of
        (set(), {"en", "tr"}, []),  # an artefact that does not say
    ],
)
def test_a_model_may_not_forget_a_language_that_the_champion_was_taught(
    taught: set[str], before: set[str], verdicts: list[str]
) -> None:
    policy = SHIPPED.reach.forgotten
    found = forgotten_languages(
        policy, Origin(languages=frozenset(taught)), Origin(languages=frozenset(before)),
        made.two_languages(),
    )  # fmt: skip
    assert [metric.verdict for metric in found] == verdicts
