"""The day's budget divided between the audit arm and an arm that chooses."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from pipelines.labelling.samplers.audit import Audit
from pipelines.labelling.samplers.base import Pool, Sampler, Selection, check_budget


@dataclass(frozen=True)
class Portfolio:
    """First the audit over the whole pool, then `chooser` over the scored events not drawn.

    The audit's size depends on pool and budget alone, never on what was drawn, so its draw stays
    uniform over all events. It gets its share, rounded up, and everything where fewer events
    have a score than the budget asks for.
    """

    chooser: Sampler
    audit_share: float
    audit: Sampler = field(default_factory=Audit)

    def __post_init__(self) -> None:
        if not 0.0 < self.audit_share <= 1.0:
            raise ValueError(
                f"audit_share {self.audit_share} is outside (0, 1]; without an audit arm nobody "
                "knows how good the filter is: set labelling.audit_share"
            )
        if self.chooser == self.audit:
            raise ValueError("chooser is the audit itself; for audit alone set audit_share to 1")

    def select(self, pool: Pool, budget: int, rng: np.random.Generator) -> Selection:
        """`budget` different events, the audit's first."""
        check_budget(budget, len(pool))
        audited = self.audit_size(pool, budget)
        audit = self.audit.select(pool, audited, rng)
        rest = self.chooser.select(pool.without(audit.event_ids), budget - audited, rng)
        chosen = tuple(replace(draw, inclusion_probability=None) for draw in rest.draws)
        return Selection(audit.draws + chosen)

    def audit_size(self, pool: Pool, budget: int) -> int:
        """How many events the audit draws.

        >>> import pyarrow as pa
        >>> from pipelines.labelling.samplers import Uncertainty
        >>> pool = Pool(pa.table({"event_id": ["a", "b", "c"], "score": [0.1, 0.2, 0.3]}))
        >>> Portfolio(Uncertainty("margin"), 0.3).audit_size(pool, 2)
        1
        """
        if len(pool.scored()) < budget:
            return budget
        return min(budget, math.ceil(round(self.audit_share * budget, 9)))
