"""The adversarial gate: how much of the spam that the model catches escapes in disguise?"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from data_contracts.events import Event
from data_contracts.reports import GateReport, GateVerdict, Metric
from evaluation.attacks import ATTACKS
from evaluation.attacks.base import Attack
from evaluation.gates.attack_search import first_of, sampled, searched
from evaluation.gates.base import Contender, answers, counted, measured, report
from evaluation.gates.paired import holm, paired
from evaluation.gates.policy import Adversarial, Rule
from evaluation.gates.suite import Suite
from evaluation.metrics import CONFIDENCE, Booleans, Integers, clopper_pearson

AGAINST = "attacked_recall_over_champion"
MEDIA_FAMILIES = ("layout", "images", "video")  # what comes of them takes a network each


class AdversarialGate:
    """Evasion under each attack at the model's own threshold, and under a black-box search.

    Evasion is the share of the spam caught in the clear that is allowed once attacked; events
    that the attack cannot change are not counted. An attack that changes nothing in the suite is
    named in `details.not_applicable`; one that changes less caught spam than the policy's minimum
    is shown and not judged. The champion is compared on the spam that both catch in the clear, with
    Holm's correction over the attacks. Large suites are judged on a seeded sample of their spam.
    """

    name = "adversarial"

    def __init__(self, policy: Adversarial, attacks: Mapping[str, Attack] = ATTACKS) -> None:
        self._policy = policy
        self._attacks = {name: _attack(name, attacks) for name in policy.attacks}

    def judge(
        self, suite: Suite, model: Contender, champion: Contender | None, rng: np.random.Generator
    ) -> GateReport:
        policy = self._policy
        spam = sampled(suite.where(suite.labels), policy.sample, policy.seed)
        caught = answers(model, spam.events).positive
        tried = [self._tried(name, spam) for name in self._attacks]
        under = {one.name: one for one in tried if one.changed.any()}
        after = {name: one.still_caught(model) for name, one in under.items()}
        metrics = [
            *_clear(caught, policy.minimum.caught),
            *(one for name in under for one in self._evasion(under[name], caught, after[name])),
        ]
        theirs: list[Metric] = []
        if champion is not None:
            old = answers(champion, spam.events).positive
            before = {name: one.still_caught(champion) for name, one in under.items()}
            both = {name: caught & old & one.changed for name, one in under.items()}
            metrics += self._against(both, after, before, spam.groups)
            theirs = [m for n in under for m in self._evasion(under[n], old, before[n])]
        by_search, costs = searched(suite, model, champion, policy, self._attacks, rng)
        details = {
            "champion": champion.name if champion else None,
            "champion_metrics": [asdict(metric) for metric in theirs],
            "rates": {name: rule.rate for name, rule in policy.attacks.items()},
            "spam_attacked": len(spam.cases),
            "unavailable": _unavailable(self._attacks),
            "not_applicable": [one.name for one in tried if one.name not in under],
            "attack_costs": costs,
        }
        return report(self.name, suite, model, [*metrics, *by_search], details)

    def _tried(self, name: str, spam: Suite) -> _Tried:
        """The attack on the spam; no more pictures and clips than the policy's sample allows."""
        attack, rule, policy = self._attacks[name], self._policy.attacks[name], self._policy
        after = spam.events
        reached = np.array([attack.applies_to(event) for event in after], dtype=bool)
        if attack.family in MEDIA_FAMILIES:
            reached = first_of(spam, reached, policy.sample.media, policy.seed)
        for row in np.flatnonzero(reached):
            after[row] = _disguised(after[row], attack, rule.rate, policy.seed)
        pairs = zip(spam.events, after, strict=True)
        changed = np.array([old is not new and old != new for old, new in pairs], dtype=bool)
        return _Tried(name, changed, [after[row] for row in np.flatnonzero(changed)])

    def _evasion(self, under: _Tried, caught: Booleans, after: Booleans) -> Iterator[Metric]:
        reached = caught & under.changed
        size = int(reached.sum())
        if size:
            enough = size >= self._policy.minimum.caught
            rule = self._policy.attacks[under.name] if enough else None
            escaped = int((reached & ~after).sum())
            yield measured("evasion", clopper_pearson(escaped, size), size, rule, part=under.name)

    def _against(
        self, both: Mapping[str, Booleans], after: Mapping[str, Booleans],
        before: Mapping[str, Booleans], groups: Integers,
    ) -> Iterator[Metric]:  # fmt: skip
        """The recall under each attack less the champion's, on the spam that both catch clear."""
        sizes = {name: int(rows.sum()) for name, rows in both.items()}
        rules = {
            name: self._policy.attacks[name].champion or self._policy.champion for name in both
        }
        pairs = {
            name: paired(after[name][rows], before[name][rows], groups[rows])
            for name, rows in both.items()
            if sizes[name]
        }
        chances = holm(
            {
                name: pair.surely_beyond(rules[name].bound, rules[name].better)
                for name, pair in pairs.items()
                if sizes[name] >= self._policy.minimum.caught
            }
        )
        for name, pair in pairs.items():
            figure = measured(AGAINST, pair.interval(), sizes[name], part=name)
            yield _judged(figure, rules[name], chances[name]) if name in chances else figure


@dataclass(frozen=True)
class _Tried:
    """One attack on n spam: `changed: bool[n]`, and the `events` that came of the changed ones."""

    name: str
    changed: Booleans
    events: Sequence[Event]

    def still_caught(self, model: Contender) -> Booleans:
        """bool[n]; False where the attack changes nothing."""
        caught = np.zeros(len(self.changed), dtype=bool)
        caught[self.changed] = answers(model, self.events).positive
        return caught


def _clear(caught: Booleans, minimum: int) -> Iterator[Metric]:
    """How much is caught before any attack."""
    hits = int(caught.sum())
    yield counted("caught_spam", hits, minimum)
    if len(caught):
        yield measured("recall", clopper_pearson(hits, len(caught)), len(caught))


def _judged(figure: Metric, rule: Rule, chance: float) -> Metric:
    """Fails where it is surely beyond the bound (`chance` is Holm's p), passes where the interval
    keeps the limit; what is neither is not enough evidence."""
    low = figure.value if figure.low is None else figure.low
    verdict: GateVerdict = "pass" if low >= rule.limit else "not_enough_evidence"
    if figure.value < rule.bound and chance <= 1 - CONFIDENCE:
        verdict = "fail"
    return replace(figure, bound=rule.bound, direction=rule.direction, verdict=verdict)


def _disguised(event: Event, attack: Attack, strength: float, seed: int) -> Event:
    """The same for one id and seed, whatever the others are."""
    rng = np.random.default_rng([seed, zlib.crc32(event.event_id.encode())])
    return attack.disguise(event, strength, rng)


def _unavailable(attacks: Mapping[str, Attack]) -> dict[str, str]:
    """Why attacks cannot run on this machine, by name."""
    reasons = {name: getattr(attack, "unavailable", None) for name, attack in attacks.items()}
    return {name: reason for name, reason in reasons.items() if reason}


def _attack(name: str, attacks: Mapping[str, Attack]) -> Attack:
    if name not in attacks:
        known = ", ".join(attacks)
        raise ValueError(f"attack {name!r} is none of {known}; mend the gate policy")
    return attacks[name]
