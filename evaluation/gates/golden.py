"""The golden gate: does the model catch what it must, and leave alone what it must?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict

import numpy as np

from data_contracts.reports import GateReport, Metric
from evaluation.gates.base import Answers, Contender, answers, counted, measured, report
from evaluation.gates.golden_calibration import calibration
from evaluation.gates.golden_figures import (
    curves,
    difference,
    estimated,
    has_both,
    reliability,
    sample_size,
    share,
)
from evaluation.gates.golden_guards import (
    forgotten_languages,
    kept_promise,
    reach,
    seen_in_training,
    without_context,
)
from evaluation.gates.golden_slices import paired_slices, slices
from evaluation.gates.policy import Golden
from evaluation.gates.suite import Suite
from evaluation.metrics import Booleans, clopper_pearson, paired_bootstrap

__all__ = ["GoldenGate", "share"]


class GoldenGate:
    """Floors, named cases, guards against a suite that tells nothing, and the champion.

    Floors and comparisons hold for the ordinary cases that the model was not trained on; named
    cases are all asked, since one that was trained on and still goes wrong is worse. Calibration
    and thresholds promise something for the corpora that they were fitted on, no others.
    """

    name = "golden"

    def __init__(self, policy: Golden) -> None:
        self._policy = policy

    def judge(
        self, suite: Suite, model: Contender, champion: Contender | None, rng: np.random.Generator
    ) -> GateReport:
        given = answers(model, suite.events)
        before = answers(champion, suite.events) if champion else None
        seen = model.origin.saw(suite)
        kinds = suite.slices("kind")
        ordinary = kinds.get("kind=ordinary", np.zeros(len(suite.cases), dtype=bool)) & ~seen
        judged, own = suite.where(ordinary), given.where(ordinary)
        near = ~model.origin.beyond_corpora(judged)
        metrics = [
            *self._counts(judged),
            *self._floors(judged, own, rng),
            *self._named(suite, given, kinds),
            *slices(self._policy.slices, judged, own),
            *kept_promise(self._policy.promise, model.origin, judged.where(near), own.where(near)),
            *calibration(self._policy.calibration, judged.where(near), own.where(near)),
            *seen_in_training(self._policy.seen, model.origin, kinds, seen),
            *without_context(
                self._policy.without_context, judged, own, model, rng, self._policy.resamples
            ),
            *reach(self._policy.reach, model.origin, judged, own),
            *_shown(suite, given, kinds),
        ]
        old = before.where(ordinary) if before else None
        if champion is not None and before is not None:
            fair = ordinary & ~champion.origin.saw(suite)
            metrics += self._against(
                suite.where(fair), given.where(fair), before.where(fair), rng
            )  # fmt: skip
            metrics += forgotten_languages(
                self._policy.reach.forgotten, model.origin, champion.origin, judged
            )
        details = {
            "champion": champion.name if champion else None,
            "left_out_as_seen_in_training": int(seen.sum()),
            "training_rows_known": model.origin.seen is not None,
            "curves": curves(judged.labels, {"challenger": own, "champion": old}),
            "calibration": {
                name: reliability(judged.labels, one.scores)
                for name, one in (("challenger", own), ("champion", old))
                if one is not None
            },
            "champion_metrics": [
                asdict(metric)
                for metric in (slices(self._policy.slices, judged, old) if old else ())
            ],
        }
        return report(self.name, suite, model, metrics, details)

    def _counts(self, suite: Suite) -> list[Metric]:
        spam = int(suite.labels.sum())
        needed = self._policy.minimum
        return [
            counted("spam_cases", spam, needed.spam),
            counted("ham_cases", len(suite.cases) - spam, needed.ham),
        ]

    def _floors(self, suite: Suite, given: Answers, rng: np.random.Generator) -> Iterator[Metric]:
        if not has_both(suite.labels):
            return
        for name, rule in self._policy.figures.items():
            estimate = estimated(name, suite, given, rng, self._policy.resamples)
            yield measured(name, estimate, sample_size(name, suite.labels), rule)

    def _named(
        self, suite: Suite, given: Answers, kinds: Mapping[str, Booleans]
    ) -> Iterator[Metric]:
        """The share of the named cases that is answered as it must be, and of each family shown."""
        for kind, rule in self._policy.named.items():
            rows = kinds.get(f"kind={kind}")
            if rows is None:
                continue
            right = given.positive == (kind == "must_catch")
            size = int(rows.sum())
            estimate = clopper_pearson(int((right & rows).sum()), size)
            yield measured(f"{kind}_right", estimate, size, rule)
            for part, of_family in suite.slices("family").items():
                if size := int((rows & of_family).sum()):
                    found = clopper_pearson(int((right & rows & of_family).sum()), size)
                    yield measured(f"{kind}_right", found, size, part=part)

    def _against(
        self, suite: Suite, given: Answers, before: Answers, rng: np.random.Generator
    ) -> list[Metric]:
        """All ordinary cases that neither model was trained on, and then slice by slice."""
        if not has_both(suite.labels):
            return []
        metrics = []
        for name, rule in self._policy.champion.items():
            change = difference(name, suite.labels, given, before)
            resamples = self._policy.resamples
            estimate = paired_bootstrap(change, suite.groups, rng, resamples=resamples)
            size = sample_size(name, suite.labels)
            metrics.append(measured(f"{name}_over_champion", estimate, size, rule))
        return metrics + list(paired_slices(self._policy.champion_slices, suite, given, before))


def _shown(suite: Suite, given: Answers, kinds: Mapping[str, Booleans]) -> Iterator[Metric]:
    """The cases that a sampler chose for being difficult: shown, never judged."""
    rows = kinds.get("kind=chosen")
    if rows is None:
        return
    for name in ("recall", "false_positive_rate"):
        size = sample_size(name, suite.labels[rows])
        if size:
            estimate = share(name, suite.labels[rows], given.positive[rows])
            yield measured(name, estimate, size, part="kind=chosen")
