"""Streams added up to what the judge is given at each look: samples, pairs, late labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from serving.rollout.analysis import (
    ALL,
    SCORE_CUTS,
    ArmSlice,
    Labelled,
    PairedSlice,
    Pairs,
    Sample,
)
from serving.rollout.latency_histogram import BINS, LatencyHistogram
from tests.performance.rollout_streams import (
    AUDIT_EACH_LOOK,
    CHUNK,
    CHUNK_LOOKS,
    LANGUAGES,
    LOOK,
    Booleans,
    Chunk,
    Integers,
    label_times,
)

SLICES = (ALL, *LANGUAGES, "modality=text")
NEITHER, ONLY_CANARY, ONLY_REFERENCE, BOTH = range(4)  # 2 * reference acted + canary acted
HAM, SPAM = 0, 1


class LabelBudget:
    """Labels that a rollout may still ask for."""

    def __init__(self, labels: int) -> None:
        self.left = labels

    def take(self, wanted: Integers) -> Integers:
        """As many of the wanted events, the earliest first, as are left."""
        granted = wanted[: self.left]
        self.left -= len(granted)
        return granted


class Phase(Protocol):
    """One step of a rollout: a chunk is added, then looked at `CHUNK_LOOKS` times."""

    def add(self, canary: Chunk, reference: Chunk) -> None: ...
    def look(self) -> tuple[Sample, Sample, Pairs | None]: ...
    @property
    def labels(self) -> int: ...


class _Arm:
    def __init__(self, looks: int) -> None:
        self.errors = np.zeros(looks, np.int64)
        self.scores = np.zeros((looks, len(SCORE_CUTS) + 1), np.int64)
        self._latencies = np.zeros((CHUNK_LOOKS, BINS), np.int64)
        self._seen_latencies = np.zeros(BINS, np.int64)
        self._seen_errors = 0
        self._seen_scores = np.zeros(len(SCORE_CUTS) + 1, np.int64)

    def add(self, chunk: Chunk, start: int) -> None:
        """`start`: the look that the chunk begins at."""
        local = np.repeat(np.arange(CHUNK_LOOKS), LOOK)
        rows = slice(start, start + CHUNK_LOOKS)
        self.errors[rows] = chunk.errors.reshape(CHUNK_LOOKS, LOOK).sum(axis=1)
        self.scores[rows] = _table(local, chunk.score_bins, len(SCORE_CUTS) + 1)
        good = ~chunk.errors
        self._latencies = _table(local[good], chunk.latency_bins[good], BINS)

    def sample(self, at: int) -> Sample:
        """Everything up to look number `at`, which must be the one after the last asked for."""
        self._seen_latencies += self._latencies[at % CHUNK_LOOKS]
        self._seen_errors += int(self.errors[at])
        self._seen_scores += self.scores[at]
        return Sample(
            (at + 1) * LOOK,
            self._seen_errors,
            LatencyHistogram(self._seen_latencies),
            tuple(self._seen_scores.tolist()),
        )


class _Labels:
    """Events and labels by look, slice and kind; labels count from the look they arrive at."""

    def __init__(self, looks: int, kinds: int) -> None:
        self._kinds = kinds
        self._looks = looks
        self._events = np.zeros((looks, len(SLICES), kinds), np.int64)
        self._said = np.zeros((looks, len(SLICES), kinds, 2), np.int64)
        self.events = np.zeros((len(SLICES), kinds), np.int64)
        self.said = np.zeros((len(SLICES), kinds, 2), np.int64)

    def add_events(self, start: int, kinds: Integers, languages: Integers) -> None:
        looks = start + np.repeat(np.arange(CHUNK_LOOKS), LOOK)
        for number in range(len(SLICES)):
            member = _in_slice(number, languages)
            index = looks[member] * self._kinds + kinds[member]
            counts = np.bincount(index, minlength=self._looks * self._kinds)
            self._events[:, number] += counts.reshape(self._looks, self._kinds)

    def add_labels(
        self, arrival: Integers, kinds: Integers, languages: Integers, is_spam: Booleans
    ) -> None:
        """`arrival`: looks; those after the last one are never seen."""
        seen = arrival < self._looks
        for number in range(len(SLICES)):
            member = seen & _in_slice(number, languages)
            at = arrival[member], number, kinds[member], is_spam[member].astype(np.int64)
            np.add.at(self._said, at, 1)

    def look(self, at: int) -> None:
        self.events += self._events[at]
        self.said += self._said[at]

    def labelled(self, number: int, kind: int) -> Labelled:
        ham, spam = self.said[number, kind].tolist()
        return Labelled(int(self.events[number, kind]), ham, spam)


class Shadow:
    """Both arms decide the same events; disputed ones are asked for first."""

    def __init__(self, looks: int, budget: LabelBudget, rng: np.random.Generator) -> None:
        self._arms = _Arm(looks), _Arm(looks)
        self._labels = _Labels(looks, 4)
        self._budget = budget
        self._rng = rng
        self._added = 0
        self._at = 0

    def add(self, canary: Chunk, reference: Chunk) -> None:
        for arm, chunk in zip(self._arms, (canary, reference), strict=True):
            arm.add(chunk, self._added)
        kinds = 2 * reference.acted.astype(np.int64) + canary.acted
        self._labels.add_events(self._added, kinds, canary.languages)
        disputed = np.flatnonzero(canary.acted != reference.acted)
        asked = self._budget.take(_with_audit(disputed, self._rng))
        answered, times = label_times(self._added * LOOK + asked, reference.acted[asked], self._rng)
        asked, times = asked[answered], times[answered]
        self._labels.add_labels(
            (times // LOOK).astype(np.int64), kinds[asked], canary.languages[asked],
            canary.is_spam[asked],
        )  # fmt: skip
        self._added += CHUNK_LOOKS

    def look(self) -> tuple[Sample, Sample, Pairs]:
        samples = [arm.sample(self._at) for arm in self._arms]
        self._labels.look(self._at)
        self._at += 1
        slices = {
            name: PairedSlice(
                int(self._labels.events[number].sum()),
                self._labels.labelled(number, ONLY_CANARY),
                self._labels.labelled(number, ONLY_REFERENCE),
                self._labels.labelled(number, BOTH),
            )
            for number, name in enumerate(SLICES)
        }
        whole = slices[ALL]
        disputed = whole.only_canary.events + whole.only_reference.events
        return samples[0], samples[1], Pairs(whole.events, disputed, slices)

    @property
    def labels(self) -> int:
        """That have arrived."""
        return int(self._labels.said[0].sum())


class Live:
    """Two arms on events of their own; only the audit asks for labels."""

    def __init__(self, looks: int, budget: LabelBudget, rng: np.random.Generator) -> None:
        self._arms = _Arm(looks), _Arm(looks)
        self._labels = _Labels(looks, 2), _Labels(looks, 2)
        self._budget = budget
        self._rng = rng
        self._added = 0
        self._at = 0

    def add(self, canary: Chunk, reference: Chunk) -> None:
        for arm, labels, chunk in zip(self._arms, self._labels, (canary, reference), strict=True):
            arm.add(chunk, self._added)
            kinds = chunk.acted.astype(np.int64)
            labels.add_events(self._added, kinds, chunk.languages)
            asked = self._budget.take(_with_audit(np.zeros(0, np.int64), self._rng))
            answered, times = label_times(self._added * LOOK + asked, chunk.acted[asked], self._rng)
            asked, times = asked[answered], times[answered]
            labels.add_labels(
                (times // LOOK).astype(np.int64), kinds[asked], chunk.languages[asked],
                chunk.is_spam[asked],
            )  # fmt: skip
        self._added += CHUNK_LOOKS

    def look(self) -> tuple[Sample, Sample, None]:
        found = []
        for arm, labels in zip(self._arms, self._labels, strict=True):
            labels.look(self._at)
            sample = arm.sample(self._at)
            slices = {
                name: ArmSlice(int(labels.events[number].sum()), labels.labelled(number, 1))
                for number, name in enumerate(SLICES)
            }
            found.append(
                Sample(sample.requests, sample.errors, sample.milliseconds, sample.scores,
                       slices=slices)
            )  # fmt: skip
        self._at += 1
        return found[0], found[1], None

    @property
    def labels(self) -> int:
        """That have arrived, of both arms."""
        return sum(int(labels.said[0].sum()) for labels in self._labels)


OpenPhase = Callable[[int, LabelBudget, np.random.Generator], Phase]


def _with_audit(disputed: Integers, rng: np.random.Generator) -> Integers:
    """The disputed events and a small uniform draw of all, in the order of their requests."""
    audit = rng.integers(0, CHUNK, AUDIT_EACH_LOOK * CHUNK_LOOKS)
    return np.union1d(disputed, audit)


def _in_slice(number: int, languages: Integers) -> Booleans:
    name = SLICES[number]
    if name not in LANGUAGES:
        return np.ones(len(languages), np.bool_)
    return np.asarray(languages == list(LANGUAGES).index(name))


def _table(rows: Integers, columns: Integers, width: int) -> Integers:
    """How often each column occurs in each of `CHUNK_LOOKS` rows."""
    counts = np.bincount(rows * width + columns, minlength=CHUNK_LOOKS * width)
    return counts.reshape(CHUNK_LOOKS, width)
