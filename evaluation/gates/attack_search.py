"""The part of the adversarial gate that asks what evasion costs: a black-box search per model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np

from data_contracts.reports import Metric
from evaluation.attacks.base import Attack
from evaluation.attacks.black_box import Outcome, Score, Search, Weapon, search
from evaluation.attacks.curves import Attacked, both, compared, evasion, threshold_at
from evaluation.gates.base import Contender, answers, counted, measured
from evaluation.gates.paired import paired
from evaluation.gates.policy import Adversarial, Sample
from evaluation.gates.suite import Suite
from evaluation.metrics import Booleans

SLICES = ("language", "modality")
SHOWN = 5  # of the cheapest evasions, by their moves; no text of a user enters a report


def sampled(suite: Suite, sample: Sample, seed: int) -> Suite:
    """At most so many cases of text alone and with media."""
    plain = np.array([case.modality == "text" for case in suite.cases], dtype=bool)
    text = first_of(suite, plain, sample.text, seed)
    return suite.where(text | first_of(suite, ~plain, sample.media, seed))


def first_of(suite: Suite, rows: Booleans, most: int, seed: int) -> Booleans:
    """bool[n]: at most `most` of `rows`, by a digest of their ids: the same in any order."""
    places = {row: _place(suite.cases[row].event.event_id, seed) for row in np.flatnonzero(rows)}
    kept = np.zeros(len(rows), dtype=bool)
    kept[sorted(places, key=lambda row: (places[row], row))[:most]] = True
    return kept


def searched(
    suite: Suite, model: Contender, champion: Contender | None, policy: Adversarial,
    attacks: Mapping[str, Attack], rng: np.random.Generator,
) -> tuple[list[Metric], dict[str, Any]]:  # fmt: skip
    """Figures of the search, and `details.attack_costs`.

    Each model stands at the threshold that its own scores of the suite's ordinary ham give for
    the policy's false-positive rate; less ham than that rate needs is allowed one mistake.
    """
    how = policy.search
    ham = sampled(suite.ordinary.where(~suite.ordinary.labels), how.ham, how.seed)
    enough = counted("ham_for_the_search", len(ham.cases), policy.minimum.ham)
    if enough.verdict != "pass":
        return [enough], {}
    rate = max(how.false_positive_rate, 1 / len(ham.cases))
    spam = sampled(suite.where(suite.labels), how.spam, how.seed)
    weapons = [Weapon(attacks[name], policy.attacks[name].rate) for name in how.attacks]
    budget = Search(queries=how.queries, seed=how.seed)
    outcomes: dict[str, list[Outcome]] = {}
    thresholds: dict[str, float] = {}
    for name, one in {"challenger": model, "champion": champion}.items():
        if one is not None:
            thresholds[name] = threshold_at(answers(one, ham.events).scores, rate)
            outcomes[name] = search(spam.events, _scores(one), thresholds[name], weapons, budget)
    attacked = {name: Attacked.of(found) for name, found in outcomes.items()}
    slices = {part: rows for by in SLICES for part, rows in spam.slices(by).items()}
    costs = {
        "false_positive_rate": rate,
        "thresholds": thresholds,
        "ham": len(ham.cases),
        "spam": len(spam.cases),
        "queries": how.queries,
        "attacks": list(how.attacks),
        **compared(attacked, slices, spam.groups, how.queries, rng, policy.resamples),
        "cheapest": _cheapest(outcomes["challenger"]),
    }
    return [enough, *_figures(attacked, slices, spam, policy)], costs


def _figures(
    attacked: Mapping[str, Attacked], slices: Mapping[str, Booleans], spam: Suite,
    policy: Adversarial,
) -> Iterator[Metric]:  # fmt: skip
    own, minimum = attacked["challenger"], policy.minimum.caught
    size = int(own.among.sum())
    yield counted("caught_spam_searched", size, minimum)
    if size >= minimum:
        yield measured("evasion_by_search", evasion(own), size, policy.search.evasion)
    for part, rows in slices.items():
        inside = own.where(rows)
        if inside.among.any():
            yield measured("evasion_by_search", evasion(inside), int(inside.among.sum()), part=part)
    if "champion" in attacked:
        new, old = both(own, attacked["champion"])
        rows, size = new.among, int(new.among.sum())
        if size:
            pair = paired(new.evaded[rows], old.evaded[rows], spam.groups[rows]).interval()
            rule = policy.search.champion if size >= minimum else None
            yield measured("evasion_by_search_over_champion", pair, size, rule)


def _scores(model: Contender) -> Score:
    return lambda events: answers(model, events).scores


def _cheapest(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    found = [(one.evasion, one.event_id) for one in outcomes if one.evasion]
    found.sort(key=lambda one: (one[0].edits, one[0].queries, one[1]))
    return [
        {
            "event_id": event_id,
            "edits": evasion.edits,
            "queries": evasion.queries,
            "moves": [f"{move.attack} {move.strength:.2f}" for move in evasion.moves],
        }
        for evasion, event_id in found[:SHOWN]
    ]


def _place(event_id: str, seed: int) -> bytes:
    return blake2b(f"{seed}\0{event_id}".encode(), digest_size=8).digest()
