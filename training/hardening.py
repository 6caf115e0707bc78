"""Disguised copies of training rows: what a spammer would write to get past, and people write too.

Szegedy et al. 2014, "Intriguing properties of neural networks" (ICLR), section 4.3, train on
adversarial examples; Goodfellow, Shlens, Szegedy 2015 (ICLR) make it a method. Ham is disguised as
well as spam: typos and leetspeak are then no sign of spam, and nobody is silenced for them.

A copy belongs to the near-duplicate group and the fold of its original, so that no model is asked
about a row whose copy it has seen. Copies teach the text models and nothing else: calibration,
thresholds and the quality out of fold are those of the originals.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_contracts.config import Hardening
from data_contracts.errors import ConfigurationError
from data_contracts.events import MAX_TEXT_CHARACTERS, Event
from data_contracts.labels import LABEL_NAMES, LabelledEvent
from pipelines.features.context import ContextColumns
from pipelines.features.text.extraction import TextExtractor
from pipelines.perturbations import PERTURBATIONS
from training.table import Say, Table, read_table

NONE = Hardening(spam_share=0, ham_share=0, attacks={})
GOOD_WORDS = "good_words"  # the one attack that needs other people's words
MOST_SENTENCES = 6
SENTENCE_CHARACTERS = 60  # of a ham message


@dataclass(frozen=True)
class Copies:
    """Disguised `rows`, the places `origins` int64[k] of their originals, and each one's attack."""

    rows: Sequence[LabelledEvent]
    origins: NDArray[np.int64]
    attacks: Sequence[str]

    def record(self) -> dict[str, Any]:
        """For the training record: how many copies of each label, and of each attack."""
        labels = Counter(row.label for row in self.rows)
        return {
            "copies": {name: labels[name] for name in LABEL_NAMES},
            "attacks": dict(sorted(Counter(self.attacks).items())),
        }


def disguised_copies(
    rows: Sequence[LabelledEvent],
    folds: NDArray[np.int64],
    learnt: NDArray[np.bool_],
    hardening: Hardening,
    seed: int,
) -> Copies:
    """Copies of the rows `learnt` (bool[n]), by label as many as the configured share of them.

    The same rows, folds int64[n], configuration and seed give the same copies. A row that no
    attack changes, of another script for example, has none.
    """
    check_attacks(hardening)
    rng = np.random.default_rng([seed, 1])
    ordinary = _ordinary(rows, folds, learnt)
    found: list[tuple[int, str, str]] = []
    for label, share in (("spam", hardening.spam_share), ("ham", hardening.ham_share)):
        for at in _drawn(rows, learnt, label, share, rng):
            sentences = ordinary.get((rows[at].dataset, int(folds[at])), [])
            if disguise := _disguised(rows[at].event.text, sentences, hardening, rng):
                found.append((at, *disguise))
    return Copies(
        [replace(rows[at], event=_saying(rows[at].event, text)) for at, text, _ in found],
        np.array([at for at, _, _ in found], np.int64),
        [attack for _, _, attack in found],
    )


@dataclass(frozen=True)
class Hardened:
    """What the text models are fitted on: n originals, then k copies, each in its original's fold.

    `folds` int64[n + k]; `learnt` bool[n + k] is true of every copy.
    """

    table: Table
    folds: NDArray[np.int64]
    learnt: NDArray[np.bool_]


def with_copies(
    table: Table,
    folds: NDArray[np.int64],
    learnt: NDArray[np.bool_],
    copies: Copies,
    extractor: TextExtractor,
    context: ContextColumns,
    say: Say,
) -> Hardened:
    """The originals' rows followed by those of the copies, read as inference reads them."""
    if not copies.rows:
        return Hardened(table, folds, learnt)
    read = read_table(copies.rows, extractor, context, say, table.rarity)
    return Hardened(
        table.followed_by(read),
        np.concatenate([folds, folds[copies.origins]]),
        np.concatenate([learnt, np.ones(len(read), bool)]),
    )


def check_attacks(hardening: Hardening) -> None:
    """ConfigurationError for an attack that nobody has written."""
    known = sorted({GOOD_WORDS, *PERTURBATIONS})
    for name in hardening.attacks:
        if name not in known:
            raise ConfigurationError(
                f"training.hardening.attacks.{name} is not one of {', '.join(known)}"
            )


def _drawn(
    rows: Sequence[LabelledEvent],
    learnt: NDArray[np.bool_],
    label: str,
    share: float,
    rng: np.random.Generator,
) -> Iterator[int]:
    """Places of rows of a label: each one once, then each one twice, until the share is reached."""
    own = np.array(
        [at for at in np.flatnonzero(learnt).tolist() if rows[at].label == label], np.int64
    )
    wanted = round(share * len(own))
    while wanted > 0:
        yield from rng.permutation(own)[:wanted].tolist()
        wanted -= len(own)


def _disguised(
    text: str, sentences: Sequence[str], hardening: Hardening, rng: np.random.Generator
) -> tuple[str, str] | None:
    """Text and attack, by the first one, in an order of chance, that changes the text."""
    for name in rng.permutation(sorted(hardening.attacks)).tolist():
        rate = float(rng.choice(hardening.attacks[name].rates))
        changed = (
            _among_ordinary(text, sentences, rate, rng)
            if name == GOOD_WORDS
            else PERTURBATIONS[name](rate).perturb(text, rng)
        )
        if changed != text and len(changed) <= MAX_TEXT_CHARACTERS:
            return changed, name
    return None


def _among_ordinary(
    text: str, sentences: Sequence[str], rate: float, rng: np.random.Generator
) -> str:
    """The text with a `rate` share of MOST_SENTENCES before and after it.

    Lowd, Meek 2005, "Good Word Attacks on Statistical Spam Filters" (CEAS).
    """
    if not sentences:
        return text
    chosen = [str(one) for one in rng.choice(sentences, math.ceil(rate * MOST_SENTENCES))]
    before = int(rng.integers(len(chosen) + 1))
    return " ".join([*chosen[:before], text, *chosen[before:]])


def _ordinary(
    rows: Sequence[LabelledEvent], folds: NDArray[np.int64], learnt: NDArray[np.bool_]
) -> dict[tuple[str, int], list[str]]:
    """What the ham of each dataset says, by fold: a copy may hold words of its own fold alone."""
    found: dict[tuple[str, int], list[str]] = {}
    for at in np.flatnonzero(learnt).tolist():
        if not rows[at].is_spam and (said := rows[at].event.text[:SENTENCE_CHARACTERS].strip()):
            found.setdefault((rows[at].dataset, int(folds[at])), []).append(said)
    return found


def _saying(event: Event, text: str) -> Event:
    return event.model_copy(update={"text": text})
