"""Guards: is the suite a test of this model at all, and does the model keep what it promises?

A suite that was trained on is learnt by heart. A context entry that gives the label away lends a
score that traffic will not repeat (Kaufman et al. 2012, "Leakage in Data Mining"). A threshold
is fitted for a false-positive rate, which the ordinary cases must bear out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from data_contracts.reports import Metric
from evaluation.gates.base import Answers, Contender, answers, measured
from evaluation.gates.golden_figures import difference, has_both, sample_size
from evaluation.gates.golden_slices import rates
from evaluation.gates.origin import Origin
from evaluation.gates.policy import Forgotten, Promise, Reach, Seen, WithoutContext
from evaluation.gates.suite import Suite
from evaluation.metrics import Booleans, clopper_pearson, paired_bootstrap


def seen_in_training(
    policy: Seen, origin: Origin, kinds: Mapping[str, Booleans], seen: Booleans
) -> Iterator[Metric]:
    """The share of each kind of cases that resembles a training row; nothing if unknown."""
    if origin.seen is None:
        return
    for kind, rule in policy.kinds.items():
        rows = kinds.get(f"kind={kind}", np.zeros(len(seen), dtype=bool))
        if size := int(rows.sum()):
            estimate = clopper_pearson(int((seen & rows).sum()), size)
            judged = rule if size >= policy.minimum else None
            yield measured("seen_in_training", estimate, size, judged, part=f"kind={kind}")


def kept_promise(policy: Promise, origin: Origin, suite: Suite, given: Answers) -> Iterator[Metric]:
    """The false-positive rate beside the one that the thresholds were fitted for.

    Fails only where the exact interval lies above `times` it as a whole: some hundred ham cannot
    tell one in a thousand from two.
    """
    ham = ~suite.labels
    promised, size = origin.promised_false_positive_rate, int(ham.sum())
    if promised is None or size < policy.minimum_ham:
        return
    wrong = int((given.positive & ham).sum())
    estimate = clopper_pearson(wrong, size, policy.confidence)
    most = policy.times * promised
    yield Metric(
        name="promised_false_positive_rate", value=estimate.value, sample_size=size,
        low=estimate.low, high=estimate.high, bound=most, direction="at_most",
        verdict="fail" if estimate.low > most else "pass",
    )  # fmt: skip


def without_context(
    policy: WithoutContext, suite: Suite, given: Answers, model: Contender,
    rng: np.random.Generator, resamples: int,
) -> Iterator[Metric]:  # fmt: skip
    """What each figure loses when the cases that carry context are asked without it."""
    carries = np.array([bool(case.event.context) for case in suite.cases], dtype=bool)
    asked, own = suite.where(carries), given.where(carries)
    spam = int(asked.labels.sum())
    enough = spam >= policy.minimum.spam and len(asked.cases) - spam >= policy.minimum.ham
    if not enough or not has_both(asked.labels):
        return
    bare = [event.model_copy(update={"context": {}}) for event in asked.events]
    without = answers(model, bare)
    for name, rule in policy.figures.items():
        change = difference(name, asked.labels, without, own)
        estimate = paired_bootstrap(change, asked.groups, rng, resamples=resamples)
        size = sample_size(name, asked.labels)
        yield measured(f"{name}_without_context", estimate, size, rule)


def forgotten_languages(
    policy: Forgotten, origin: Origin, champion: Origin, suite: Suite
) -> Iterator[Metric]:
    """Languages of the suite that the champion was taught and the model was not.

    An encoder of many languages carries a model over for a while, so its recall alone does not
    show that nobody taught it the language any more. Nothing where either does not say.
    """
    if not origin.languages or not champion.languages:
        return
    cases = Counter(case.language for case in suite.cases)
    lost = [
        language
        for language in champion.languages - origin.languages
        if cases[language] >= policy.minimum
    ]
    yield Metric(
        name="languages_forgotten", value=float(len(lost)),
        sample_size=sum(cases[language] for language in lost) or len(suite.cases),
        bound=float(policy.most), direction="at_most",
        slice=f"language={'+'.join(sorted(lost))}" if lost else "all",
        verdict="fail" if len(lost) > policy.most else "pass",
    )  # fmt: skip


def reach(policy: Reach, origin: Origin, suite: Suite, given: Answers) -> Iterator[Metric]:
    """Corpora, languages and times that the model was not trained on, where the suite has any."""
    rules = {str(part): figures for part, figures in policy.rules.items()}
    for part, rows in origin.reach(suite).items():
        yield from rates(rules.get(part, {}), policy.minimum, suite, given, part, rows)
