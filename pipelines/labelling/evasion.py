"""Signals that somebody gets around the filter: verdicts that a disguise turns, known evasions.

The risk is spam that flips to `allow`, so what the filter acts on, closest to its threshold, is
scored again in every disguise of `pipelines.perturbations`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.errors import BadInput, ServiceUnavailable
from data_contracts.events import Event
from data_contracts.protocols import Scorer
from pipelines.labelling.samplers.base import Vectors, stacked
from pipelines.neighbours import nearest
from pipelines.perturbations import PERTURBATIONS, disguised

RATE = 0.2  # of the characters in reach: a person still reads the message at a glance


def flip_shares(
    events: Sequence[Event], scorer: Scorer, seed: int
) -> tuple[dict[str, float], str | None]:
    """For each acted-on event, the share of its disguises that the filter would allow.

    Events that no disguise changes are left out; and why there is nothing, where scoring failed.
    All disguises are scored in one call; they carry names of their own, so that no decision
    record takes one for the event itself.
    """
    variants = [
        (event.event_id, _renamed(changed, name))
        for event in events
        for name, kind in PERTURBATIONS.items()
        if (changed := disguised(event, kind(RATE), seed)).text != event.text
    ]
    if not variants:
        return {}, None
    try:
        verdicts = scorer.score([variant for _, variant in variants])
    except (ServiceUnavailable, BadInput) as error:
        return {}, f"no verdict was tried in disguise ({error})"
    turned: dict[str, list[bool]] = {}
    for (event_id, _), verdict in zip(variants, verdicts, strict=True):
        turned.setdefault(event_id, []).append(verdict.action == "allow")
    return {event_id: float(np.mean(flips)) for event_id, flips in turned.items()}, None


def flip_candidates(decisions: pa.Table, most: int) -> list[str]:
    """The `most` acted-on events with the lowest scores: the likeliest to flip."""
    acted = decisions.filter(pc.not_equal(decisions["action"], "allow"))
    nearest_first = acted.sort_by([("score", "ascending"), ("event_id", "ascending")])
    ids: list[str] = nearest_first["event_id"].slice(0, most).to_pylist()
    return ids


def evasion_similarity(embeddings: pa.ChunkedArray, evasions: Vectors) -> pa.Array:
    """float64[n]: cosine to the nearest of `evasions: float32[m, d]`; null where either lacks."""
    known = pc.is_valid(embeddings).to_numpy()
    similarity = np.full(len(embeddings), np.nan)
    if len(evasions) and known.any():
        vectors = stacked(embeddings.drop_null())
        similarity[known] = nearest(vectors, evasions, 1)[0][:, 0]
    return pa.array(similarity, pa.float64(), mask=np.isnan(similarity))


def column(values: Mapping[str, float], event_ids: Sequence[str]) -> pa.Array:
    """The value of each event, null where it has none."""
    return pa.array([values.get(event_id) for event_id in event_ids], pa.float64())


def _renamed(event: Event, name: str) -> Event:
    digest = blake2b(event.event_id.encode(), digest_size=12).hexdigest()
    return event.model_copy(update={"event_id": f"disguised-{name}-{digest}"})
