"""Precision and recall by slice, from audit draws: language, modality, region, account age.

Slices of one report are many, so their intervals are made at a confidence that keeps all of them
at 95 % together (Bonferroni): a slice does not fall below its bound because there are many.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data_contracts.events import Event
from evaluation.audit import Draws, Figure, estimate_quality
from evaluation.gates.fairness_cases import traffic_value
from evaluation.gates.suite import Case
from evaluation.metrics import CONFIDENCE
from evaluation.monitoring.confusion import take

DIMENSIONS = ("language", "modality", "region", "account_age")
UNKNOWN = "unknown"
FEWEST_DRAWS = 30  # of a slice; smaller ones are left out
MOST_SLICES = 12  # of a dimension, the largest


@dataclass(frozen=True)
class SliceQuality:
    """One slice of the audit: `by` a dimension, its `name`, and what the audit says of it."""

    by: str
    name: str
    precision: Figure
    recall: Figure
    draws: int


def slices_of(event: Event) -> dict[str, str]:
    """The slice of an event in each dimension; UNKNOWN where the event does not say.

    >>> slices_of(Event(event_id="e", text="hi", language="en-GB"))["language"]
    'en'
    """
    case = Case(event, is_spam=False, dataset="")
    return {by: traffic_value(case, by) or UNKNOWN for by in DIMENSIONS}


def quality_by_slice(draws: Draws, slices: Sequence[Mapping[str, str]]) -> list[SliceQuality]:
    """`slices` are those of each draw. Dimensions of one slice only are left out."""
    if len(slices) != len(draws.days):
        raise ValueError(f"{len(slices)} slices for {len(draws.days)} draws; give one for each")
    chosen = _chosen(slices)
    confidence = 1 - (1 - CONFIDENCE) / max(len(chosen), 1)
    found = []
    for by, name in chosen:
        rows = np.array([one.get(by, UNKNOWN) == name for one in slices], bool)
        quality = estimate_quality(take(draws, rows), confidence)
        found.append(SliceQuality(by, name, quality.precision, quality.recall, int(rows.sum())))
    return found


def _chosen(slices: Sequence[Mapping[str, str]]) -> list[tuple[str, str]]:
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for one in slices:
        for by, name in one.items():
            counts[by][name] += 1
    chosen = []
    for by, names in counts.items():
        large = sorted(names, key=lambda name: (-names[name], name))[:MOST_SLICES]
        enough = [name for name in large if names[name] >= FEWEST_DRAWS]
        chosen += [(by, name) for name in enough if len(names) > 1]
    return chosen
