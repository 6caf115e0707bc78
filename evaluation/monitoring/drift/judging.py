"""A day against its reference days: which features drifted, and which matter to the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from data_contracts.config import Drift
from evaluation.monitoring.drift.bins import Bins, FeatureBins, NumberBins
from evaluation.monitoring.drift.causes import likely_cause, scale_factor
from evaluation.monitoring.drift.distances import (
    jensen_shannon,
    population_stability_index,
    wasserstein,
)
from evaluation.monitoring.drift.effect import Effect, effect, total
from evaluation.monitoring.drift.histograms import DayHistograms, Histogram, with_known_scores
from evaluation.monitoring.drift.significance import (
    Significance,
    benjamini_hochberg,
    significance,
)

QuantilesNow = Callable[[str], Sequence[float | None]]  # of a feature today, at causes.LEVELS


@dataclass(frozen=True)
class FeatureDrift:
    """One feature. `matters`: the drift surely moves more verdicts than the floor."""

    feature: str
    population_stability_index: float
    jensen_shannon: float
    wasserstein: float | None
    significance: Significance
    adjusted_p_value: float
    effect: Effect | None
    drifted: bool
    matters: bool
    cause: str | None

    def as_record(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def compared(
    bins: Bins,
    reference: Sequence[DayHistograms],
    current: DayHistograms,
    settings: Drift,
    quantiles_now: QuantilesNow,
) -> list[FeatureDrift]:
    """Ranked: what moves most verdicts first. Empty where there are too few reference days.

    A feature drifted where it is significant after correction and either its distance or what is
    surely at stake reaches its floor. `quantiles_now` is asked for drifted numbers only.
    """
    *reference, current = map(with_known_scores, (*reference, current))
    found = [
        one
        for feature in bins.features
        if (one := _of_feature(feature, reference, current, settings)) is not None
    ]
    if not found:
        return []
    adjusted = benjamini_hochberg(np.array([one.significance.p_value for one in found]))
    judged = [
        _judged(
            replace(one, adjusted_p_value=float(p)),
            bins,
            reference,
            current,
            settings,
            quantiles_now,
        )
        for one, p in zip(found, adjusted, strict=True)
    ]
    return sorted(judged, key=_rank, reverse=True)


def _rank(one: FeatureDrift) -> tuple[bool, float, float]:
    """Drifted before others, then by what is at stake, then by distance."""
    return one.drifted, one.effect.at_stake if one.effect else 0.0, one.jensen_shannon


def _of_feature(
    bins: FeatureBins, reference: Sequence[DayHistograms], current: DayHistograms, settings: Drift
) -> FeatureDrift | None:
    days, now = [day[bins.feature] for day in reference], current[bins.feature]
    tested = significance(np.array([day.rows for day in days]), now.rows)
    if tested is None:
        return None
    before, moves = total(days), effect(days, now)
    return FeatureDrift(
        feature=bins.feature,
        population_stability_index=population_stability_index(before.rows, now.rows),
        jensen_shannon=jensen_shannon(before.rows, now.rows),
        wasserstein=_wasserstein(bins, before, now),
        significance=tested,
        adjusted_p_value=1.0,
        effect=moves,
        drifted=False,
        matters=moves is not None and moves.surely >= settings.minimum_effect,
        cause=None,
    )


def _judged(
    one: FeatureDrift,
    bins: Bins,
    reference: Sequence[DayHistograms],
    current: DayHistograms,
    settings: Drift,
    quantiles_now: QuantilesNow,
) -> FeatureDrift:
    large = one.jensen_shannon >= settings.minimum_distance or one.matters
    if not large or one.adjusted_p_value > settings.false_discovery_rate:
        return replace(one, matters=False)
    own, name = bins.named(one.feature), one.feature
    before, now = total([day[name] for day in reference]), current[name]
    factor = scale_factor(own, before, quantiles_now(name)) if isinstance(own, NumberBins) else None
    return replace(one, drifted=True, cause=likely_cause(own, before, now, factor))


def _wasserstein(bins: FeatureBins, before: Histogram, now: Histogram) -> float | None:
    if not isinstance(bins, NumberBins) or not bins.edges:
        return None
    return wasserstein(before.rows, now.rows, np.array(bins.edges))
