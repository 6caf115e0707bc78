"""The adversarial gate: how much of the spam that the model catches escapes in disguise?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data_contracts.events import Event
from data_contracts.reports import GateReport, Metric
from evaluation.gates.base import Contender, answers, counted, measured, report
from evaluation.gates.policy import Adversarial
from evaluation.gates.suite import Suite
from evaluation.metrics import Booleans, Floats, clopper_pearson, paired_bootstrap, recall_at
from pipelines.perturbations import PERTURBATIONS, Perturbation, disguised


class AdversarialGate:
    """Evasion under each attack at the model's own threshold, and beside the champion.

    Evasion is the share of the spam caught in the clear that is allowed once attacked; texts
    that the attack cannot change (other scripts) are not counted. The champion is compared on
    the spam that both catch in the clear.
    """

    name = "adversarial"

    def __init__(self, policy: Adversarial) -> None:
        self._policy = policy
        self._attacks = {name: _attack(name, rule.rate) for name, rule in policy.attacks.items()}

    def judge(
        self, suite: Suite, model: Contender, champion: Contender | None, rng: np.random.Generator
    ) -> GateReport:
        spam = suite.where(suite.labels)
        caught = answers(model, spam.events).positive
        also = answers(champion, spam.events).positive if champion else caught
        metrics = [counted("caught_spam", int(caught.sum()), self._policy.minimum.caught)]
        if len(caught):
            recall = clopper_pearson(int(caught.sum()), len(caught))
            metrics.append(measured("recall", recall, len(caught)))
        for name, attack in self._attacks.items():
            events = [disguised(event, attack, self._policy.seed) for event in spam.events]
            changed = _changed(spam.events, events)
            after = answers(model, events).positive
            metrics.append(self._evasion(name, caught & changed, after))
            if champion is not None:
                before = answers(champion, events).positive
                both = caught & also & changed
                metrics.append(
                    self._against(name, spam.where(both), after[both], before[both], rng)
                )
        details = {
            "champion": champion.name if champion else None,
            "rates": {name: rule.rate for name, rule in self._policy.attacks.items()},
        }
        return report(self.name, suite, model, metrics, details)

    def _evasion(self, name: str, caught: Booleans, after: Booleans) -> Metric:
        size, rule = int(caught.sum()), self._policy.attacks[name]
        if not size:
            return counted(f"caught_spam_under_{name}", 0, self._policy.minimum.caught)
        escaped = int((caught & ~after).sum())
        return measured("evasion", clopper_pearson(escaped, size), size, rule, part=name)

    def _against(
        self, name: str, spam: Suite, after: Booleans, before: Booleans, rng: np.random.Generator
    ) -> Metric:
        if not len(after):
            return counted(f"spam_caught_by_both_under_{name}", 0, self._policy.minimum.caught)

        def difference(weights: Floats) -> float:
            labels = spam.labels
            return recall_at(labels, after, weights) - recall_at(labels, before, weights)

        resamples, rule = self._policy.resamples, self._policy.champion
        estimate = paired_bootstrap(difference, spam.groups, rng, resamples=resamples)
        return measured("attacked_recall_over_champion", estimate, len(after), rule, part=name)


def _changed(before: Sequence[Event], after: Sequence[Event]) -> Booleans:
    pairs = zip(before, after, strict=True)
    return np.array([old.text != new.text for old, new in pairs], dtype=bool)


def _attack(name: str, rate: float) -> Perturbation:
    if name not in PERTURBATIONS:
        known = ", ".join(PERTURBATIONS)
        raise ValueError(f"attack {name!r} is none of {known}; mend the gate policy")
    return PERTURBATIONS[name](rate)
