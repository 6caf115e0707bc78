"""Samplers choose events for review behind one interface, `select(pool, budget, rng)`.

A new sampler is one file here and one line in SAMPLERS; tests/behaviour runs over all of them.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.labelling.samplers.audit import Audit
from pipelines.labelling.samplers.base import Draw, Pool, Sampler, Selection
from pipelines.labelling.samplers.portfolio import Portfolio
from pipelines.labelling.samplers.uncertainty import Uncertainty

__all__ = ["SAMPLERS", "Draw", "Pool", "Portfolio", "Sampler", "Selection", "sampler_named"]

SAMPLERS: Mapping[str, Sampler] = {
    "audit": Audit(),
    "margin": Uncertainty("margin"),
    "least_confidence": Uncertainty("least_confidence"),
    "entropy": Uncertainty("entropy"),
}


def sampler_named(name: str) -> Sampler:
    """The sampler of that name; ValueError that lists the known ones."""
    if name not in SAMPLERS:
        raise ValueError(f"sampler {name!r} is none of {', '.join(SAMPLERS)}; mend the name")
    return SAMPLERS[name]
