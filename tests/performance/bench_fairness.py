"""What a filter of spam does to ordinary speech that names groups, at a recall worth having.

    make bench-fairness        (or: python -m tests.performance.bench_fairness [--rows N])

One ensemble learns from five spam sets (a fifth of the near-duplicate groups set aside), and
answers the non-hateful HateCheck cases in eleven languages, Davidson's tweets that are neither
hateful nor offensive, identity templates, and Wikipedia comments with identity terms swapped.
Declared before the first run: two operating points, the model's own thresholds (0.1 % false
positives out of fold) and the highest threshold at which every set's spam is caught to .90 out of
fold; the goal, a largest false-positive gap under half a point at a recall of .90 on each spam
set's test. Gaps are of a group against all others in its set and language, of at least FEWEST
cases, with intervals that hold together (Sidak).
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from data_contracts.config import Settings, load_settings
from data_contracts.files import write_atomically
from evaluation.gates.fairness_cases import PROBE, TEMPLATE, identity_cases
from evaluation.gates.fairness_gaps import Gap, clustered_share
from evaluation.gates.fairness_identity import PREFIX, flips, identity_gaps
from evaluation.gates.policy import Fairness, load_policy
from evaluation.gates.suite import Suite
from evaluation.metrics import Booleans, Estimate, clopper_pearson
from pipelines.assets import asset, asset_file
from pipelines.features.text.embedding_cache import CachedEncoder
from pipelines.features.text.encoder import OnnxEncoder
from tests.performance import bench_quality as quality
from tests.performance.fairness_systems import (
    AT_RECALL,
    OWN,
    WANTED_RECALL,
    Asked,
    System,
    baseline,
    ensembles,
    organic_tweets,
)
from tests.performance.provenance import commit
from tests.performance.quality_tables import as_text

FEWEST, LARGEST_GAP = 60, 0.005
ALL_OF_A_SET = 1_000_000
WHOLE = ("fairness_hatecheck_en", "fairness_davidson_tweets")  # the others as the gate draws them
SHOWN_BY = (PROBE, "dialect", "identity", "functionality", "language")


def main() -> int:
    rows = _arguments().rows
    settings = load_settings()
    warnings.simplefilter("ignore")
    began = time.monotonic()
    policy = load_policy(settings.gates.policy).fairness
    cases, notes = identity_cases(_whole_sets(policy), settings)
    for note in notes:
        print(note, file=sys.stderr)
    suite = Suite(tuple(cases), np.arange(len(cases)))
    spam = _at_most(rows, quality._divided(quality.SETS, settings))
    organic, for_training = organic_tweets(
        settings, [case.event.text for case in cases], np.random.default_rng(quality.SEED)
    )
    test = spam.test
    events = (*(row.event for row in test.rows), *suite.events)
    asked = Asked(spam, organic, for_training, events)
    file = asset_file(settings.data.encoder, settings.data, settings.cache)
    version = asset(settings.data.encoder).sha256
    with CachedEncoder(OnnxEncoder(file), settings.cache / "embeddings", version) as encoder:
        laboratory = quality.Laboratory(settings, encoder, file, 0, began, {})
        systems = [*ensembles(asked, laboratory), baseline(asked, laboratory)]
        laboratory.say("comparing")
    _write(settings, systems, test, suite, began)
    return 0


def _at_most(rows: int, spam: quality.Rows) -> quality.Rows:
    """So many rows of each set, drawn by chance; the sides of the split stay as they are."""
    sets = np.array([row.dataset for row in spam.rows])
    chosen = np.zeros(len(sets), dtype=bool)
    rng = np.random.default_rng(quality.SEED)
    for name in quality.SETS:
        chosen[rng.permutation(np.flatnonzero(sets == name))[:rows]] = True
    return spam.where(chosen)


def _whole_sets(policy: Fairness) -> Fairness:
    sets = {
        name: wanted.model_copy(update={"each": ALL_OF_A_SET}) if name in WHOLE else wanted
        for name, wanted in policy.identity.sets.items()
    }
    return policy.model_copy(update={"identity": policy.identity.model_copy(update={"sets": sets})})


def _points(system: System, tested: int) -> Iterator[tuple[str, Booleans, Booleans]]:
    """Operating point, and what is blocked of the spam sets' test and of the identity cases."""
    for point, positive in system.positive.items():
        yield point, positive[:tested], positive[tested:]


def _recall(test: quality.Rows, positive: Booleans) -> dict[str, Estimate]:
    labels, sets = test.labels, np.array([row.dataset for row in test.rows])
    return {
        str(name): clopper_pearson(
            int(positive[labels & (sets == name)].sum()), int((labels & (sets == name)).sum())
        )
        for name in np.unique(sets)
    }


def _write(
    settings: Settings, systems: Sequence[System], test: quality.Rows, suite: Suite, began: float
) -> None:
    from tests.performance.fairness_picture import draw

    rows, goals = [], []
    groups: list[dict[str, Any]] = []
    for system in systems:
        for point, on_test, on_identity in _points(system, len(test.rows)):
            compared = identity_gaps(suite, on_identity, FEWEST)
            largest = _largest([gap for found in compared.values() for gap in found])
            recall = _recall(test, on_test)
            rows.append(_row(system, point, on_test, on_identity, test, suite, largest, recall))
            goals.append(_goal(system.name, point, largest, recall))
            groups += _groups(system.name, point, suite, on_identity)
    report = {
        "name": "fairness", "commit": commit(), "seconds": round(time.monotonic() - began, 1),
        "identity_cases": len(suite.cases), "spam_test_rows": len(test.rows),
        "spam_training_rows": systems[0].training_rows,
        "rows": rows, "groups": groups, "goals": goals,
    }  # fmt: skip
    path = settings.reports / "bench-fairness.json"
    write_atomically(path, orjson.dumps(report, option=orjson.OPT_INDENT_2))
    print(_table(report))
    print(draw(groups, settings.reports / "bench-fairness.svg"), path, sep="\n")


def _row(
    system: System, point: str, on_test: Booleans, on_identity: Booleans, test: quality.Rows,
    suite: Suite, largest: Gap, recall: Mapping[str, Estimate],
) -> dict[str, Any]:  # fmt: skip
    ham, flipped = ~test.labels, flips(suite, on_identity)
    return {
        "system": system.name,
        "operating_point": point,
        "training_rows": system.training_rows,
        "worst_recall_out_of_fold": system.recall_out_of_fold.get(point),
        "largest_gap": _plain(largest.estimate),
        "largest_gap_of": f"{largest.errors.name} ({largest.errors.size})",
        "gap_is_proven": largest.is_proven,
        "flips_of_swaps": _plain(clopper_pearson(int(flipped.sum()), len(flipped))),
        "swap_pairs": len(flipped),
        "identity_cases_blocked": _plain(clopper_pearson(int(on_identity.sum()), len(on_identity))),
        "test_ham_blocked": _plain(clopper_pearson(int(on_test[ham].sum()), int(ham.sum()))),
        **{f"recall {name.removeprefix('text_')}": _plain(one) for name, one in recall.items()},
    }


def _groups(name: str, point: str, suite: Suite, positive: Booleans) -> Iterator[dict[str, Any]]:
    for by in SHOWN_BY:
        of_sets = np.array(
            [by == PROBE or _is_comparable(case.dataset, by) for case in suite.cases]
        )
        part = suite.where(of_sets)
        for group, members in part.slices(by).items():
            blocked = positive[of_sets][members]
            if len(blocked) < FEWEST:
                continue
            cases = part.where(members).cases
            clusters = [case.attributes.get(TEMPLATE, case.event.event_id) for case in cases]
            yield {
                "system": name, "operating_point": point, "by": by,
                "group": group.partition("=")[2].removeprefix(PREFIX), "cases": len(blocked),
                "blocked": int(blocked.sum()),
                "false_positive_rate": _plain(clustered_share(blocked, clusters)),
            }  # fmt: skip


def _is_comparable(dataset: str, by: str) -> bool:
    """Each kind of slice over the sets that are made for it."""
    if by == "dialect":
        return "davidson" in dataset
    return "hatecheck" in dataset


def _largest(found: Sequence[Gap]) -> Gap:
    return max(found, key=lambda gap: gap.estimate.value)


def _goal(name: str, point: str, largest: Gap, recall: Mapping[str, Estimate]) -> dict[str, Any]:
    worst = min(recall.values(), key=lambda one: one.value)
    caught = worst.value >= WANTED_RECALL
    gap = largest.estimate
    return {
        "id": f"{name}, {point}",
        "statement": f"{name} at {point}: largest false-positive gap between groups, with recall "
        f"of at least {WANTED_RECALL} on every spam set's test",
        "target": f"gap < {LARGEST_GAP} and recall >= {WANTED_RECALL}",
        "measured": {"gap": _plain(gap), "worst_recall": _plain(worst)},
        "met": caught and gap.value < LARGEST_GAP,
        "settled": gap.high < LARGEST_GAP and worst.low >= WANTED_RECALL
        if caught and gap.value < LARGEST_GAP
        else gap.low >= LARGEST_GAP or worst.high < WANTED_RECALL,
    }


def _table(report: Mapping[str, Any]) -> str:
    shown = [
        {**{key: group[key] for key in ("system", "by", "group", "cases", "blocked")},
         "false_positive_rate": group["false_positive_rate"]}
        for group in report["groups"]
        if group["operating_point"] == OWN and group["by"] in (PROBE, "dialect", "identity")
    ]  # fmt: skip
    lines = [as_text(f"Operating points ({OWN}; {AT_RECALL})", report["rows"])]
    lines += [as_text(f"False positives by group at {OWN}", shown), "goals"]
    lines += [
        f"  {'met' if goal['met'] else 'NOT MET':<8}{goal['statement']}: {goal['measured']}"
        for goal in report["goals"]
    ]
    return "\n".join(lines)


def _plain(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "--rows", type=int, default=ALL_OF_A_SET, help="of each spam set at most (default: all)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
