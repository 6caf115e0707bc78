"""Samplers choose events for review behind one interface, `select(pool, budget, rng)`.

A new sampler is one file here and one line in SAMPLERS; tests/behaviour runs over all of them.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.labelling.samplers.adversarial import (
    ADVERSARIAL,
    DOUBT,
    EVASION_NEIGHBOURS,
    FLIPS,
)
from pipelines.labelling.samplers.audit import Audit
from pipelines.labelling.samplers.base import Draw, Pool, Sampler, Selection
from pipelines.labelling.samplers.cluster_margin import ClusterMargin
from pipelines.labelling.samplers.diversity import KCentre, Representatives
from pipelines.labelling.samplers.portfolio import Portfolio
from pipelines.labelling.samplers.temporal import (
    BURSTS,
    EMERGENCE,
    NOVELTY,
    Recency,
    time_sensitive,
)
from pipelines.labelling.samplers.uncertainty import DISAGREEMENT, Uncertainty
from pipelines.labelling.samplers.wrappers import Balanced, OneACampaign, Subsampled

__all__ = [
    "SAMPLERS", "Balanced", "ClusterMargin", "Draw", "KCentre", "OneACampaign", "Pool",
    "Portfolio", "Representatives", "Sampler", "Selection", "Subsampled", "Uncertainty",
    "sampler_named",
]  # fmt: skip

LARGEST_TO_CLUSTER = 50_000

SAMPLERS: Mapping[str, Sampler] = {
    "audit": Audit(),
    "margin": Uncertainty("margin"),
    "least_confidence": Uncertainty("least_confidence"),
    "entropy": Uncertainty("entropy"),
    "disagreement": DISAGREEMENT,
    "cluster_margin": ClusterMargin(),
    "k_centre": Subsampled(KCentre(), LARGEST_TO_CLUSTER),
    "representatives": Subsampled(Representatives(), LARGEST_TO_CLUSTER),
    "diversity": Balanced(Subsampled(Representatives(), LARGEST_TO_CLUSTER), "language"),
    "flips": FLIPS,
    "doubt": DOUBT,
    "evasion_neighbours": EVASION_NEIGHBOURS,
    "adversarial": ADVERSARIAL,
    "emergence": EMERGENCE,
    "novelty": NOVELTY,
    "bursts": BURSTS,
    "recency": Recency(),
    "time_sensitive": time_sensitive(),
}


def sampler_named(name: str) -> Sampler:
    """The sampler of that name; ValueError that lists the known ones."""
    if name not in SAMPLERS:
        raise ValueError(f"sampler {name!r} is none of {', '.join(SAMPLERS)}; mend the name")
    return SAMPLERS[name]
