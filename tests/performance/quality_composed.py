"""The whole ensemble on composed attacks, whose recipes training never saw: a simulation.

Everything is trained once on real text sets, real image sets and composed traffic of the training
recipes; the test is composed of other sources, with the held-out recipes. The operating point is
the score that 0.1 % of the test's ham reaches, the same way for every system; beside it stands
what the thresholds fitted in training reach. Intervals are 95 %, a bootstrap of whole campaigns
and accounts; those of the fitted thresholds are Clopper-Pearson's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_contracts.config import Settings
from data_contracts.events import Event
from data_contracts.labels import LabelledEvent
from evaluation.metrics import average_precision, clopper_pearson, paired_bootstrap
from pipelines.assets import asset, asset_file
from pipelines.catalogue import read_labelled
from pipelines.features.text.embedding_cache import CachedEncoder
from pipelines.features.text.encoder import OnnxEncoder
from pipelines.image_sets import LabelledImage, read_images
from pipelines.simulation.composition.recipes import HELD_OUT, ORDINARY_SPAM, TRAINING
from tests.performance.composed_models import (
    Answered,
    Bench,
    answered,
    fitted,
    halved,
    read_bench,
    without,
)
from tests.performance.composed_sets import ComposedSets, enriched_sets
from tests.performance.quality_parts import Part, Say
from training.activation import settled_scores, spent
from training.fused_policy import PREFILTER, TEXT
from training.fused_training import FusedParts
from training.stage_sources import media_reader, training_stages
from training.train import Plan

RATE, SEED, RESAMPLES = 0.001, 20_260_105, 500
TEXT_SETS: Mapping[str, int] = {  # rows of each text set that the text's models learn from
    "text_sms_spam_uci": 4000, "text_sms_turkish": 2000, "text_telegram_chinese": 2000,
    "text_youtube_spam": 1500, "text_spamassassin": 1500,
}  # fmt: skip
MODALITIES: Mapping[str, tuple[str, ...]] = {
    "text": (PREFILTER, TEXT, "meaning"),
    "image": ("image", "objects", "ocr"),
    "video": ("video",),
    "behaviour": ("behaviour",),
    "context": ("surroundings",),
}
GROUPS: Mapping[str, tuple[str, ...]] = {
    "composed attacks, recipes held out": HELD_OUT,
    "composed attacks, recipes of training": tuple(r for r in TRAINING if r not in ORDINARY_SPAM),
    "ordinary spam": ORDINARY_SPAM,
}
TOGETHER, LATE = "fusion + meta-learner", "late fusion (mean of calibrated specialists)"
Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class Truth:
    """Of the n test events: whether spam, the recipe, and the unit that is drawn as a whole."""

    spam: Booleans
    recipes: NDArray[np.str_]
    units: NDArray[np.int64]

    def among(self, names: Sequence[str]) -> Booleans:
        return self.spam & np.isin(self.recipes, names)


def measure(settings: Settings, say: Say) -> Part:
    """The main table, the ablations, and the activation policy."""
    sets = enriched_sets(settings, say)
    bench = _read(settings, sets, say)
    truth = _truth(sets)
    say("training everything above the text")
    parts, _ = fitted(bench)
    found = answered(bench, parts)
    rows, goals = _main_table(found, truth, bench, parts)
    policy_rows, policy_goals = _policy(found, truth, parts)
    ablations = list(_ablations(halved(bench), truth, say))
    return Part(
        "composed", "Composed attacks (a simulation)",
        [*rows, *policy_rows, *ablations], [*goals, *policy_goals],
    )  # fmt: skip


def _read(settings: Settings, sets: ComposedSets, say: Say) -> Bench:
    encoder_file = asset_file(settings.data.encoder, settings.data, settings.cache)
    cached = CachedEncoder(
        OnnxEncoder(encoder_file),
        settings.cache / "embeddings",
        asset(settings.data.encoder).sha256,
    )
    rows = [
        *_text_rows(settings, sets, say),
        *_image_rows(settings, sets),
        *sets.training.labelled(),
    ]
    studies = settings.cache / "bench-quality" / "studies"
    plan = Plan(
        0, 5, settings.training.seed, RATE, studies, hardening=settings.training.hardening
    )  # fmt: skip
    with (
        cached as encoder,
        media_reader(settings) as media,
        training_stages(settings, media) as stages,
    ):
        return read_bench(rows, sets.test.labelled(), encoder, encoder_file, plan, stages, say)


def _text_rows(settings: Settings, sets: ComposedSets, say: Say) -> list[LabelledEvent]:
    """A seeded part of each text set, without anything related to the test's sources."""
    rng, rows = np.random.default_rng(SEED), []
    for name, most in TEXT_SETS.items():
        found = read_labelled(name, settings.data, settings.cache)
        rows += [found[at] for at in sorted(rng.permutation(len(found))[:most])]
    say(f"leaving out what is related to the test among {len(rows)} rows of text sets")
    return sets.unrelated_rows(rows)


def _image_rows(settings: Settings, sets: ComposedSets) -> list[LabelledEvent]:
    images = sets.unrelated_images(read_images(settings.data))
    return [_event_of(image) for image in images]


def _event_of(image: LabelledImage) -> LabelledEvent:
    event = Event(event_id=image.file, text="", media=(image.reference(),))
    return LabelledEvent(event, image.label, f"image_{image.source}", f"image-{image.group}")


def _truth(sets: ComposedSets) -> Truth:
    """Drawn as a whole: spam of one recipe within one world, and ham of one account."""
    test = sets.test
    spam = np.array([test.labels[event.event_id] == "spam" for event in test.events])
    recipes = np.array([test.recipes[event.event_id] for event in test.events])
    names = [
        f"{test.groups[event.event_id]} {recipe} {'' if is_spam else event.account}"
        for event, recipe, is_spam in zip(test.events, recipes, spam, strict=True)
    ]
    _, units = np.unique(names, return_inverse=True)
    return Truth(spam, recipes, units)


def _main_table(
    found: Answered, truth: Truth, bench: Bench, parts: FusedParts
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    systems = _systems(found)
    rows = [row for system, scores in systems.items() for row in _recalls(system, scores, truth)]
    rows += _fitted_thresholds(found, truth, bench, parts)
    held_out = "composed attacks, recipes held out"
    caught = {name: _recall(scores, truth, GROUPS[held_out]) for name, scores in systems.items()}
    alone = {
        name: value for name, value in caught.items() if name not in (TOGETHER, LATE, "fusion")
    }
    best = max(alone, key=alone.__getitem__)
    ordinary = {name: _recall(systems[name], truth, GROUPS["ordinary spam"]) for name in systems}
    goals = [
        _goal("composed.recall", "recall on held-out recipes at 0.1 % false positives", ">= 0.60",
              caught[TOGETHER], caught[TOGETHER] >= 0.60),
        _goal("composed.ahead_of_late_fusion", f"ahead of {LATE} ({caught[LATE]:.3f})",
              ">= +0.10", caught[TOGETHER] - caught[LATE], caught[TOGETHER] >= caught[LATE] + 0.10),
        _goal("composed.twice_the_best_specialist", f"twice the best specialist ({best}, "
              f"{alone[best]:.3f})", ">= 2", caught[TOGETHER] / max(alone[best], 1e-9),
              caught[TOGETHER] >= 2 * alone[best]),
        _goal("composed.ordinary_spam", "no less than late fusion and the best specialist on "
              "ordinary spam", f">= {max(v for k, v in ordinary.items() if k != TOGETHER):.3f}",
              ordinary[TOGETHER],
              ordinary[TOGETHER] >= max(v for k, v in ordinary.items() if k != TOGETHER)),
    ]  # fmt: skip
    return rows, goals


def _systems(found: Answered) -> dict[str, Floats]:
    """Scores of each system; an absent stage has the lowest score there is."""
    alone = {
        f"{name} alone": np.where(np.isnan(scores), -1e9, scores)
        for name, scores in found.alone.items()
    }
    return {TOGETHER: found.by_step[:, -1], LATE: found.late, "fusion": found.fused, **alone}


def _recalls(system: str, scores: Floats, truth: Truth) -> Iterator[dict[str, Any]]:
    for group, names in GROUPS.items():
        chosen = truth.among(names)
        kept = chosen | ~truth.spam
        yield {
            "set": group,
            "system": system,
            "test_spam": int(chosen.sum()),
            "test_ham": int((~truth.spam).sum()),
            "recall_at_0.1%_of_test_ham": _interval(
                lambda w, s=scores, c=chosen: _weighted_recall(s, truth, c, w), truth.units
            ),
            "average_precision": round(average_precision(chosen[kept], scores[kept]), 4),
        }


def _fitted_thresholds(
    found: Answered, truth: Truth, bench: Bench, parts: FusedParts
) -> Iterator[dict[str, Any]]:
    thresholds = parts.policy.thresholds
    lowest = np.array([thresholds.of(kind)[0] for kind in bench.test.kinds])
    positive = found.by_step[:, -1] >= lowest
    alarms = clopper_pearson(int((positive & ~truth.spam).sum()), int((~truth.spam).sum()))
    for group, names in GROUPS.items():
        chosen = truth.among(names)
        caught = clopper_pearson(int((positive & chosen).sum()), int(chosen.sum()))
        yield {
            "set": group,
            "system": f"{TOGETHER}, thresholds of training",
            "test_spam": int(chosen.sum()),
            "test_ham": int((~truth.spam).sum()),
            "recall_at_fitted_threshold": _plain(caught),
            "false_positive_rate_reached": _plain(alarms),
        }


def _policy(
    found: Answered, truth: Truth, parts: FusedParts
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What the activation policy spends and keeps, on all test events."""
    activation = parts.policy.activation
    final = settled_scores(activation, found.by_step, found.costs)
    cost, everything = spent(activation, found.by_step, found.costs), found.costs.sum(axis=1)
    share = float(cost.sum() / everything.sum())
    whole = np.ones(len(truth.spam), bool)
    lost, lost_of_known = (
        _interval(
            lambda w, k=kept: (
                average_precision(truth.spam[k], found.by_step[k, -1], w[k])
                - average_precision(truth.spam[k], final[k], w[k])
            ),
            truth.units,
        )
        for kept in (whole, whole & ~truth.among(HELD_OUT))
    )
    row = {
        "set": "composed test, all events",
        "system": "activation policy",
        "events": len(truth.spam),
        "average_precision_lost": lost,
        "lost_without_held_out_recipes": lost_of_known,
        "share_of_expected_cpu": round(share, 4),
        "expected_milliseconds_an_event": round(float(cost.mean()), 2),
        "expected_milliseconds_of_everything": round(float(everything.mean()), 2),
        **{
            f"ran_{name}": round(float(_share_run(activation, found, at)), 4)
            for at, name in enumerate(activation.stages)
        },
    }
    goals = [
        _goal("activation.average_precision", "average precision lost by the activation policy",
              "<= 0.002", lost["value"], lost["value"] <= 0.002),
        _goal("activation.cpu", "share of the expected CPU of running everything", "<= 0.25",
              share, share <= 0.25),
    ]  # fmt: skip
    return [row], goals


def _share_run(activation: Any, found: Answered, at: int) -> float:
    """Of the events that carry the content of a step, how many run it."""
    carried = found.costs[:, at] > 0
    one = np.zeros_like(found.costs)
    one[:, at] = carried
    return float(spent(activation, found.by_step, one).sum() / max(carried.sum(), 1))


def _ablations(bench: Bench, truth: Truth, say: Say) -> Iterator[dict[str, Any]]:
    """Every modality, stage and feature family left out in turn, and all above trained again.

    On half the training, for its cost: `nothing` is the whole ensemble on the same half.
    """
    parts, stages = fitted(bench)
    whole = answered(bench, parts)
    yield _ablation("nothing", whole.by_step[:, -1], whole, truth)
    yield _ablation("the meta-learner (fusion alone)", whole.fused, whole, truth)
    yield _ablation("fusion and meta-learner (late fusion)", whole.late, whole, truth)
    for name, variant in _variants(bench):
        say(f"without {name}")
        found = answered(variant, fitted(variant, stages)[0])
        yield _ablation(name, found.by_step[:, -1], whole, truth)


def _ablation(name: str, scores: Floats, whole: Answered, truth: Truth) -> dict[str, Any]:
    chosen = truth.among(HELD_OUT)
    return {
        "set": "ablation, half the training",
        "system": f"without {name}",
        **{group: round(_recall(scores, truth, names), 4) for group, names in GROUPS.items()},
        "average_precision": round(average_precision(truth.spam, scores), 4),
        "held_out_recall_lost": _interval(
            lambda w: (
                _weighted_recall(whole.by_step[:, -1], truth, chosen, w)
                - _weighted_recall(scores, truth, chosen, w)
            ),
            truth.units,
        ),
    }


def _variants(bench: Bench) -> Iterator[tuple[str, Bench]]:
    for modality, stages in MODALITIES.items():
        yield f"modality {modality}", without(bench, stages=stages)
    for stage in (PREFILTER, TEXT, *bench.training_tables):
        yield f"stage {stage}", without(bench, stages=(stage,))
    families = {family for table in bench.training_tables.values() for family in table.families}
    for family in sorted(families):
        yield f"features {family}", without(bench, family=family)


def _recall(scores: Floats, truth: Truth, names: Sequence[str]) -> float:
    return _weighted_recall(scores, truth, truth.among(names), np.ones(len(scores)))


def _weighted_recall(scores: Floats, truth: Truth, chosen: Booleans, weights: Floats) -> float:
    """Recall where the share RATE of the ham's weight lies at or above the threshold, at most."""
    ham = ~truth.spam
    order = np.argsort(-scores[ham], kind="stable")
    above = np.cumsum(weights[ham][order])
    allowed = int(np.searchsorted(above, RATE * above[-1], side="right"))
    threshold = scores[ham][order][min(allowed, len(order) - 1)]
    total = float(weights[chosen].sum())
    if total == 0:
        raise ValueError("no spam was drawn")
    return float(weights[chosen & (scores > threshold)].sum()) / total


def _interval(statistic: Callable[[Floats], float], units: NDArray[np.int64]) -> dict[str, float]:
    return _plain(
        paired_bootstrap(statistic, units, np.random.default_rng(SEED), resamples=RESAMPLES)
    )


def _plain(estimate: Any) -> dict[str, float]:
    return {part: round(float(getattr(estimate, part)), 4) for part in ("value", "low", "high")}


def _goal(name: str, statement: str, target: str, measured: float, met: bool) -> dict[str, Any]:
    return {
        "id": name, "statement": statement, "target": target,
        "measured": round(float(measured), 4), "met": bool(met),
    }  # fmt: skip


if __name__ == "__main__":
    import sys
    import time

    import orjson

    from data_contracts.config import load_settings

    began = time.monotonic()
    part = measure(
        load_settings(),
        lambda line: print(
            f"{time.monotonic() - began:7.1f} s  {line}", file=sys.stderr, flush=True
        ),
    )
    for shown in [*part.rows, *part.goals]:
        print(orjson.dumps(shown).decode())
