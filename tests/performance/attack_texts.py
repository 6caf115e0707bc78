"""The black-box attacker on short messages: three systems, the ablations, and the real rewrites."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_contracts.config import Data, Hardening
from data_contracts.labels import LabelledEvent
from evaluation.attacks import ATTACKS
from evaluation.attacks.black_box import Outcome, Search, Weapon, search
from evaluation.attacks.curves import Attacked, curves, evasion, ratio
from evaluation.metrics import (
    Booleans,
    Estimate,
    Floats,
    Integers,
    average_precision,
    clopper_pearson,
    curve,
    paired_bootstrap,
    recall_at,
)
from pipelines.catalogue import read_labelled
from pipelines.near_duplicates import group_related
from pipelines.splits import grouped_folds
from tests.performance.attack_systems import (
    System,
    Workshop,
    ensemble,
    specialist,
    stored_out_of_fold,
    tfidf_logistic_regression,
    without_normalisation,
)
from training.ensemble import Ensemble
from training.hardening import NONE

SMS, CHINESE = "text_sms_spam_uci", "text_telegram_chinese"
ATTACKED = (SMS, CHINESE)
SETS = (*ATTACKED, "text_youtube_spam")  # what the systems are trained on
PAIRS, ORIGINALS = "robust_sms_adversarial_pairs", "robust_sms_adversarial_originals"
SEED, TEST_FOLDS, RESAMPLES, MESSAGES, QUERIES = 20_260_105, 5, 1000, 100, 50
MOST_ROWS = 3000  # of a set in training: enough, and the whole benchmark stays under 20 minutes

# The greatest strength at which a person still gets the message: what changes no letter's look
# may change them all; what misspells or replaces may do so to every second word.
STRONGEST = {
    "homoglyph": 1.0, "zero_width": 1.0, "punycode": 1.0, "han_variants": 1.0, "spacing": 1.0,
    "leetspeak": 0.5, "typos": 0.5, "good_words": 1.0, "synonyms": 0.5,
}  # fmt: skip
# Named before the attacker ran: hardening never uses them. One is of the family characters, the
# other of the family words. Single typos had been tried on a model without hardening by then.
HELD_OUT = ("typos", "synonyms")

TFIDF, SPECIALIST = "TF-IDF + LR", "text specialist alone"
BEFORE, HARDENED = "ensemble before hardening", "hardened ensemble"
NEITHER, NORMALISED, TRAINED, BOTH = (
    "neither", "normalisation only", "training only", "normalisation and training",
)  # fmt: skip
ALL_ATTACKS = "all attacks"

Say = Callable[[str], None]
Row = dict[str, Any]


@dataclass(frozen=True)
class Messages:
    """Rows, the near-duplicate `groups` int64[n], and which are for training, `trained` bool[n]."""

    rows: Sequence[LabelledEvent]
    groups: Integers
    trained: Booleans

    @classmethod
    def read(cls, data: Data, cache: Any) -> Messages:
        """Training and test by whole groups; what is near a real rewrite is in neither."""
        rows = [row for name in SETS for row in read_labelled(name, data, cache)]
        rewrites = [row for name in (ORIGINALS, PAIRS) for row in read_labelled(name, data, cache)]
        groups = group_related([*rows, *rewrites])
        near = np.isin(groups[: len(rows)], groups[len(rows) :])
        rows = [row for row, is_near in zip(rows, near, strict=True) if not is_near]
        groups = groups[: len(near)][~near]
        strata = [f"{row.dataset} {row.label}" for row in rows]
        folds = grouped_folds(groups, strata, TEST_FOLDS, np.random.default_rng(SEED))
        return cls(rows, groups, folds != 0)

    def where(self, chosen: Booleans) -> Messages:
        kept = [row for row, keep in zip(self.rows, chosen, strict=True) if keep]
        return Messages(kept, self.groups[chosen], self.trained[chosen])

    def of(self, *names: str) -> Messages:
        return self.where(np.array([row.dataset in names for row in self.rows], dtype=bool))

    @property
    def training(self) -> Messages:
        """At most MOST_ROWS of each set, by chance."""
        rng = np.random.default_rng(SEED)
        names = np.array([row.dataset for row in self.rows])
        chosen = np.zeros(len(self.rows), bool)
        for name in np.unique(names):
            chosen[rng.permutation(np.flatnonzero(self.trained & (names == name)))[:MOST_ROWS]] = 1
        return self.where(chosen)

    @property
    def test(self) -> Messages:
        return self.where(~self.trained)

    @property
    def spam(self) -> Booleans:
        return np.array([row.is_spam for row in self.rows], dtype=bool)


@dataclass(frozen=True)
class Besieged:
    """One system on one set: its answers in the clear, and what the attacker reached."""

    system: str
    dataset: str
    attack: str
    clear: Row
    attacked: Attacked
    groups: Integers

    def row(self) -> Row:
        found = self.attacked
        return {
            "set": self.dataset, "system": self.system, "attack": self.attack, **self.clear,
            "attack_success": plain(evasion(found)) if found.among.any() else None,
            "curves": curves(found, QUERIES),
        }  # fmt: skip


@dataclass(frozen=True)
class Ensembles:
    """The same rows, learnt without disguised copies and with them."""

    training: Messages
    before: Ensemble
    hardened: Ensemble

    @classmethod
    def trained(cls, messages: Messages, workshop: Workshop, how: Hardening, say: Say) -> Ensembles:
        training = messages.training
        say(f"{BEFORE}: {len(training.rows)} rows")
        before = workshop.trained(training.rows, NONE)
        say(f"{HARDENED}: {len(training.rows)} rows and their disguised copies")
        return cls(training, before, workshop.trained(training.rows, how))

    def systems(self) -> Iterator[System]:
        """Those beside TF-IDF. The specialist is that of the ensemble before hardening."""
        yield specialist(SPECIALIST, self.before)
        yield ensemble(BEFORE, self.before)
        yield ensemble(HARDENED, self.hardened)

    def clean(self) -> Iterator[Row]:
        """What hardening costs on undisguised rows, out of fold, paired by row."""
        before, after = (stored_out_of_fold(one) for one in (self.before, self.hardened))
        for name in SETS:
            own = after["datasets"] == name
            labels, groups = after["targets"][own] == 1, self.training.groups[own]
            scores = before["scores"][own], after["scores"][own]
            row: Row = {"set": name, "rows": int(own.sum()), "spam": int(labels.sum())}
            for measure, statistic in (
                ("average_precision", average_precision),
                ("recall_at_0.1%", _recall_at_a_thousandth),
            ):
                row[measure] = statistic(labels, scores[1])
                row[f"{measure}.difference"] = plain(
                    _paired_difference(statistic, labels, scores, groups)
                )
            yield row


def compared(
    messages: Messages, workshop: Workshop, ensembles: Ensembles, say: Say
) -> Iterator[tuple[System, Besieged]]:
    """Every system on both sets by all attacks; those that the goals name also by each attack that
    hardening never used.
    """
    for system in (_baseline(ensembles.training, workshop), *ensembles.systems()):
        for name in ATTACKED:
            test = messages.of(name).test
            yield system, besieged(system, test, ALL_ATTACKS, _weapons(STRONGEST), say)
            for attack in HELD_OUT if system.name in (TFIDF, HARDENED) else ():
                found = besieged(system, test, attack, _weapons({attack: STRONGEST[attack]}), say)
                if found.attacked.among.any():  # synonyms are English
                    yield system, found


def _baseline(training: Messages, workshop: Workshop) -> System:
    """Trained on the rows that the ensembles are trained on."""
    strata = [f"{row.dataset} {row.label}" for row in training.rows]
    rng = np.random.default_rng(workshop.seed)
    folds = grouped_folds(training.groups, strata, workshop.folds, rng)
    return tfidf_logistic_regression(TFIDF, training.rows, folds)


def _recall_at_a_thousandth(
    labels: Booleans, scores: Floats, weights: Floats | None = None
) -> float:
    points = curve(labels, scores, weights)
    allowed = points.recall[points.false_positive_rate <= 0.001]
    return float(allowed[-1]) if len(allowed) else 0.0


def _paired_difference(
    statistic: Callable[[Booleans, Floats, Floats], float],
    labels: Booleans,
    scores: tuple[Floats, Floats],
    groups: Integers,
) -> Estimate:
    """Hardened less before."""
    return paired_bootstrap(
        lambda weights: (
            statistic(labels, scores[1], weights) - statistic(labels, scores[0], weights)
        ),
        groups,
        np.random.default_rng(SEED),
        resamples=RESAMPLES,
    )


def ablations(
    messages: Messages, workshop: Workshop, hardening: Hardening, say: Say
) -> Iterator[Besieged]:
    """On SMS alone: the ensemble without and with either half of what stands against disguise."""
    own = messages.of(SMS)
    for name, normalises, copies in (
        (NEITHER, False, NONE),
        (NORMALISED, True, NONE),
        (TRAINED, False, hardening),
        (BOTH, True, hardening),
    ):
        with ExitStack() as stack:
            if not normalises:
                stack.enter_context(without_normalisation())
            system = ensemble(name, workshop.trained(own.training.rows, copies))
            yield besieged(system, own.test, ALL_ATTACKS, _weapons(STRONGEST), say)


def besieged(
    system: System, test: Messages, attack: str, weapons: Sequence[Weapon], say: Say
) -> Besieged:
    """The attacker on at most MESSAGES spam of the test part of one set."""
    name, spam = test.rows[0].dataset, test.spam
    threshold = system.thresholds[name]
    positive = system.score([row.event for row in test.rows]) >= threshold
    drawn = np.random.default_rng(SEED).permutation(np.flatnonzero(spam))[:MESSAGES]
    events = [test.rows[at].event for at in np.sort(drawn)]
    outcomes = search(events, system.score, threshold, weapons, Search(QUERIES, seed=SEED))
    found = Attacked.of(outcomes)
    say(f"{name}, {system.name}, {attack}: {found.evaded.sum()} of {found.among.sum()} evade")
    clear = {
        "test_rows": len(test.rows), "test_spam": int(spam.sum()), "attacked": len(events),
        "recall": plain(clopper_pearson(int(positive[spam].sum()), int(spam.sum()))),
        "false_positive_rate": plain(
            clopper_pearson(int(positive[~spam].sum()), int((~spam).sum()))
        ),
        "queries_spent": sum(outcome.queries for outcome in outcomes),
        "evaded_by": evaded_by(outcomes),
    }  # fmt: skip
    return Besieged(system.name, name, attack, clear, found, test.groups[np.sort(drawn)])


def evaded_by(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """In how many evasions each attack had a part."""
    found = [{move.attack for move in one.evasion.moves} for one in outcomes if one.evasion]
    return dict(Counter(sorted(name for names in found for name in names)))


def against(first: Besieged, second: Besieged) -> Estimate | None:
    """Attack success of the first over that of the second; None where the second never fails."""
    rng = np.random.default_rng(SEED)
    return ratio(first.attacked, second.attacked, first.groups, rng, RESAMPLES)


def rewrites(system: System, data: Data, cache: Any) -> Row:
    """The real rewrites: how many are caught, beside their originals, at the SMS threshold."""
    sides = [read_labelled(name, data, cache) for name in (ORIGINALS, PAIRS)]
    groups = group_related([*sides[0], *sides[1]])
    caught = np.concatenate(
        [system.score([row.event for row in side]) >= system.thresholds[SMS] for side in sides]
    )
    is_rewrite = np.arange(len(caught)) >= len(sides[0])

    def kept(weights: Floats) -> float:
        original = recall_at(~is_rewrite, caught, weights)
        if original == 0:
            raise ValueError("no original is caught")
        return recall_at(is_rewrite, caught, weights) / original

    return {
        "set": PAIRS,
        "system": system.name,
        "pairs": len(sides[1]),
        "originals_caught": plain(clopper_pearson(int(caught[~is_rewrite].sum()), len(sides[0]))),
        "rewrites_caught": plain(clopper_pearson(int(caught[is_rewrite].sum()), len(sides[1]))),
        "ratio": plain(
            paired_bootstrap(kept, groups, np.random.default_rng(SEED), resamples=RESAMPLES)
        ),
        "by_tactic": _by_tactic(sides[1], caught[is_rewrite]),
    }


def _by_tactic(rows: Sequence[LabelledEvent], caught: Booleans) -> dict[str, list[int]]:
    """Tactic to (caught, all)."""
    found: dict[str, list[int]] = {}
    for row, is_caught in zip(rows, caught.tolist(), strict=True):
        counts = found.setdefault(str(row.event.context.get("tactic", "")).strip(), [0, 0])
        counts[0] += is_caught
        counts[1] += 1
    return dict(sorted(found.items()))


def _weapons(strongest: Mapping[str, float]) -> list[Weapon]:
    return [Weapon(ATTACKS[name], strength) for name, strength in strongest.items()]


def plain(estimate: Estimate | None) -> dict[str, float] | None:
    """For JSON."""
    if estimate is None:
        return None
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}
