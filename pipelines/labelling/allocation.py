"""The day's budget divided by what each arm's labels were worth.

Worth is measured in two ways. Slowly, by what labels teach: a probe (logistic regression on frozen
embeddings) is fitted with and without an arm's labels, and judged on audit labels that it has not
seen, each weighted by one over its chance. An arm's worth is the mean fall of that loss over the
orders in which arms can join (the Shapley value of a group of data: A. Ghorbani and J. Zou, "Data
Shapley", ICML 2019), in bits for each hundred labels. Quickly, by what they reveal: the share of an
arm's newest labels that were confirmed evasions, beyond the audit's share. A rare campaign lowers
the audit loss too little to be seen there, but the arm that found it must be followed at once.
Choosing arms by what they brought follows W.-N. Hsu and H.-T. Lin, "Active Learning by Learning",
AAAI 2015. Floors keep every arm alive; the audit's share is fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
Vectors = NDArray[np.float32]

AUDIT = "audit"
FOLDS = 5
ORDERS = 12  # permutations of the arms, each with its reverse
FEWEST_AUDIT = 40  # audit labels, with five of each kind, before any worth is measured
FEWEST_OF_A_KIND = 5
NEWEST = 40  # labels of an arm by which its finds are told
DOUBTED = 10.0  # labels without a find that are added to an arm's: two labels prove little
HALF_URGENT = 0.1  # share of evasions, beyond the audit's, at which finds weigh as much as worth
TRUST_LABELS = 100.0  # labels of an arm at which its own worth counts as much as the prior share


@dataclass(frozen=True)
class ArmLabels:
    """What reviewers said of what which arm chose.

    In order of time. embeddings: float32[n, d], is_spam: bool[n], arms: the arm of each row,
    chances: float64[n], the inclusion probability of audit rows (NaN elsewhere), evaded: bool[n],
    spam that the filter had let pass.
    """

    embeddings: Vectors
    is_spam: Booleans
    arms: NDArray[np.str_]
    chances: Floats
    evaded: Booleans

    def of(self, *names: str) -> Booleans:
        """Which rows these arms chose."""
        return np.isin(self.arms, names)


@dataclass(frozen=True)
class Worth:
    """`bits`: fall of the audit loss for each hundred labels, on `labels` labels of the arm."""

    labels: int
    bits: float
    error: float


@dataclass(frozen=True)
class Allocation:
    """Shares of the budget by arm, `audit` among them, and why each is what it is."""

    shares: Mapping[str, float]
    reasons: Mapping[str, str]


def allocate(
    prior: Mapping[str, float],
    floors: Mapping[str, float],
    worth: Mapping[str, Worth],
    finds: Mapping[str, float],
) -> Allocation:
    """The audit's share as it is; the rest by worth and `finds`, above each arm's floor.

    `prior` sums to 1 with the audit; it speaks alone until an arm has labels, and less the more
    it has. An arm whose labels brought nothing, or did harm, keeps its floor. `finds` are those of
    `evasions_found`: the more evasions the arms find, the more they decide.
    """
    arms = [name for name in prior if name != AUDIT]
    _check(prior, floors, arms)
    free = 1.0 - prior[AUDIT] - sum(floors[arm] for arm in arms)
    taught = _by_worth(np.array([max(prior[arm] - floors[arm], 0.0) for arm in arms]), arms, worth)
    found = np.array([max(finds.get(arm, 0.0), 0.0) for arm in arms])
    urgency = found.max(initial=0.0) / (found.max(initial=0.0) + HALF_URGENT)
    blend = (1.0 - urgency) * taught + urgency * found / max(found.sum(), 1e-12)
    extra = free * blend / max(blend.sum(), 1e-12)
    shares = {arm: floors[arm] + float(more) for arm, more in zip(arms, extra, strict=True)}
    helped = any(one.bits > 0 for one in worth.values())
    reasons = {
        arm: f"{shares[arm]:.0%}: {_taught(arm, worth, helped, floors[arm])}{_found(arm, finds)}"
        for arm in arms
    }
    audit = f"fixed share {prior[AUDIT]:.0%}: it keeps precision and recall measurable"
    return Allocation({AUDIT: prior[AUDIT], **shares}, {AUDIT: audit, **reasons})


def evasions_found(labelled: ArmLabels) -> dict[str, float]:
    """For each choosing arm: the share of evasions among its newest labels, less the audit's."""
    rates = {arm: _evasion_rate(labelled, arm) for arm in sorted(set(labelled.arms.tolist()))}
    usual = rates.pop(AUDIT, 0.0)
    return {arm: rate - usual for arm, rate in rates.items()}


def measure_worth(labelled: ArmLabels, rng: np.random.Generator) -> dict[str, Worth]:
    """Each choosing arm's worth; empty while the audit is too small to judge by.

    Audit rows are judged by probes of the other folds only. `error` is the standard error over
    the orders.
    """
    arms = sorted(set(labelled.arms.tolist()) - {AUDIT})
    audit = labelled.of(AUDIT)
    spam = int((audit & labelled.is_spam).sum())
    if not arms or audit.sum() < FEWEST_AUDIT or min(spam, audit.sum() - spam) < FEWEST_OF_A_KIND:
        return {}
    losses = _Losses(labelled, _folds(audit, labelled.is_spam, rng))
    gains: dict[str, list[float]] = {arm: [] for arm in arms}
    for order in _orders(arms, rng):
        for place, arm in enumerate(order):
            gains[arm].append(losses(order[:place]) - losses(order[: place + 1]))
    return {arm: _worth(gains[arm], int(labelled.of(arm).sum())) for arm in arms}


class _Losses:
    """Weighted audit loss (bits a label) of probes with these arms' labels; remembers them."""

    def __init__(self, labelled: ArmLabels, folds: NDArray[np.int64]) -> None:
        self._labelled, self._folds = labelled, folds
        self._known: dict[frozenset[str], float] = {}

    def __call__(self, arms: Sequence[str]) -> float:
        key = frozenset(arms)
        if key not in self._known:
            self._known[key] = self._loss(key)
        return self._known[key]

    def _loss(self, arms: frozenset[str]) -> float:
        labelled, total, weight = self._labelled, 0.0, 0.0
        chosen = labelled.of(*arms)
        for fold in range(FOLDS):
            judged = self._folds == fold
            taught = chosen | ((self._folds >= 0) & ~judged)
            bits = _bits(_probe(labelled, taught)(labelled.embeddings[judged]), labelled, judged)
            weights = 1.0 / labelled.chances[judged]
            total += float(weights @ bits)
            weight += float(weights.sum())
        return total / weight


def _probe(labelled: ArmLabels, taught: Booleans) -> Callable[[Vectors], Floats]:
    from sklearn.linear_model import LogisticRegression

    probe = LogisticRegression(C=10.0, max_iter=200)
    probe.fit(labelled.embeddings[taught], labelled.is_spam[taught])
    return lambda vectors: np.asarray(probe.predict_proba(vectors)[:, 1], np.float64)


def _bits(chances: Floats, labelled: ArmLabels, judged: Booleans) -> Floats:
    """Surprise at each label, bounded: one mislabelled event must not decide."""
    right = np.where(labelled.is_spam[judged], chances, 1.0 - chances)
    bits: Floats = -np.log2(np.clip(right, 0.01, 1.0))
    return bits


def _folds(audit: Booleans, is_spam: Booleans, rng: np.random.Generator) -> NDArray[np.int64]:
    """The fold of each audit row, both kinds spread evenly; -1 elsewhere."""
    folds = np.full(len(audit), -1, np.int64)
    for kind in (audit & is_spam, audit & ~is_spam):
        rows = rng.permutation(np.flatnonzero(kind))
        folds[rows] = np.arange(len(rows)) % FOLDS
    return folds


def _orders(arms: Sequence[str], rng: np.random.Generator) -> list[list[str]]:
    """Random orders and their reverses, which halves the noise (antithetic sampling)."""
    orders = []
    for _ in range(ORDERS):
        order = [arms[place] for place in rng.permutation(len(arms))]
        orders += [order, order[::-1]]
    return orders


def _worth(gains: Sequence[float], labels: int) -> Worth:
    scale = 100.0 / labels
    error = float(np.std(gains, ddof=1) / np.sqrt(len(gains)))
    return Worth(labels, float(np.mean(gains)) * scale, error * scale)


def _by_worth(wanted: Floats, arms: Sequence[str], worth: Mapping[str, Worth]) -> Floats:
    """float64[arms], sum 1: measured worth as far as it is trusted, `wanted` for the rest."""
    prior: Floats = wanted / max(wanted.sum(), 1e-12)
    gains = np.array([max(worth[arm].bits, 0.0) if arm in worth else 0.0 for arm in arms])
    if not gains.sum() > 0.0:
        return prior
    trust = np.array(
        [worth[arm].labels / (worth[arm].labels + TRUST_LABELS) if arm in worth else 0.0
         for arm in arms]
    )  # fmt: skip
    blend: Floats = trust * gains / gains.sum() + (1.0 - trust) * prior
    blend /= blend.sum()
    return blend


def _evasion_rate(labelled: ArmLabels, arm: str) -> float:
    newest = labelled.evaded[labelled.of(arm)][-NEWEST:]
    return float(newest.sum() / (len(newest) + DOUBTED))


def _taught(arm: str, worth: Mapping[str, Worth], helped: bool, floor: float) -> str:
    if not worth:
        return "prior share, no worth measured yet"
    if not helped:
        return "prior share, no arm's labels lowered the audit loss"
    if arm not in worth:
        return "prior share, the arm has no labels yet"
    one = worth[arm]
    kept = f", floor {floor:.0%}" if one.bits <= 0 else ""
    said = f"{one.bits:+.3f} ± {one.error:.3f} bits of audit loss a hundred labels"
    return f"{said}, on {one.labels} labels{kept}"


def _found(arm: str, finds: Mapping[str, float]) -> str:
    beyond = finds.get(arm, 0.0)
    if round(beyond, 2) <= 0.0:
        return ""
    return f"; finds evasions in {beyond:.0%} more of its newest labels than the audit"


def _check(prior: Mapping[str, float], floors: Mapping[str, float], arms: Sequence[str]) -> None:
    if set(floors) != set(arms):
        raise ValueError(f"floors are for {sorted(floors)}, arms are {sorted(arms)}")
    total = prior[AUDIT] + sum(floors.values())
    if min(floors.values(), default=0.0) < 0 or total > 1.0:
        raise ValueError(f"audit share and floors add up to {total:.2f}; lower labelling floors")
