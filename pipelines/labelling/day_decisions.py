"""What the filter thought of a day's events: stored verdicts first, fresh ones for the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.errors import BadInput, ServiceUnavailable
from data_contracts.protocols import Scorer
from data_contracts.verdicts import Verdict
from pipelines import lake

UNKNOWN_THRESHOLD = 0.5
PREFILTER = "prefilter"
NO_SPECIALIST = (PREFILTER, "meta_learner")
DECISIONS = pa.schema(
    [
        pa.field("event_id", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("action", pa.string()),
        pa.field("model_version", pa.string()),
        pa.field("reasons", pa.list_(pa.string())),
        pa.field("prefilter_score", pa.float64()),
        pa.field("specialist_score", pa.float64()),
    ]
)


def decisions(events: pa.Table, verdicts: pa.Table, scorer: Scorer) -> tuple[pa.Table, str | None]:
    """DECISIONS of a day's events, and why some are missing, if some are."""
    stored = current_decisions(verdicts)
    unscored = events.filter(pc.invert(pc.is_in(events["event_id"], stored["event_id"])))
    if not unscored.num_rows:
        return stored, None
    try:
        fresh = scorer.score([lake.event_of(row) for row in unscored.to_pylist()])
    except (ServiceUnavailable, BadInput) as error:  # a day is never left without its audit
        because = "was refused" if isinstance(error, BadInput) else "found no champion"
        return stored, f"{unscored.num_rows} events have no score: scoring {because} ({error})"
    rows = [_decision(verdict) for verdict in fresh]
    return pa.concat_tables([stored, pa.Table.from_pylist(rows, schema=DECISIONS)]), None


def current_decisions(verdicts: pa.Table) -> pa.Table:
    """One row an event: its highest revision, then its latest; mirrored rows never count.

    `verdicts` has the columns of `data_contracts.tables.VERDICTS`; the result those of DECISIONS.
    """
    live = verdicts.filter(
        pc.and_(pc.invert(verdicts["mirrored"]), pc.not_equal(verdicts["arm"], "shadow"))
    )
    ordered = live.sort_by(
        [
            ("event_id", "ascending"),
            ("revision", "descending"),
            ("decided_at", "descending"),
            ("model_version", "descending"),
            ("arm", "descending"),
        ]
    )
    ids = ordered["event_id"].to_numpy()
    firsts = ordered.filter(pa.array(np.append(True, ids[1:] != ids[:-1])[: len(ids)], pa.bool_()))
    stages = [stage_scores(orjson.loads(text)) for text in firsts["stages"].to_pylist()]
    scores = {"prefilter_score": [one for one, _ in stages]}
    scores |= {"specialist_score": [other for _, other in stages]}
    told = firsts.select(DECISIONS.names[:5]).to_pydict()
    return pa.table(told | scores, schema=DECISIONS)


def stage_scores(stages: Sequence[dict[str, Any]]) -> tuple[float | None, float | None]:
    """The prefilter's score and the highest of the specialists that ran; None where none did.

    >>> stage_scores([{"name": "prefilter", "ran": True, "score": 0.2},
    ...               {"name": "text", "ran": True, "score": 0.7},
    ...               {"name": "meta_learner", "ran": True, "score": 0.6}])
    (0.2, 0.7)
    """
    ran = {one["name"]: one["score"] for one in stages if one["ran"] and one["score"] is not None}
    others = [score for name, score in ran.items() if name not in NO_SPECIALIST]
    return ran.get(PREFILTER), max(others, default=None)


def operating_threshold(scores: NDArray[np.float64], acted: NDArray[np.bool_]) -> float:
    """The score from which the filter acts, read off its own decisions: float64[n], bool[n].

    It is the score that parts acted-on from allowed events with the fewest exceptions;
    UNKNOWN_THRESHOLD where the filter acted on nothing.

    >>> operating_threshold(np.array([0.1, 0.4, 0.8, 0.9]), np.array([False, False, True, True]))
    0.8
    """
    if not acted.any():
        return UNKNOWN_THRESHOLD
    order = np.argsort(scores, kind="stable")
    ranked, positive = scores[order], acted[order]
    first = np.searchsorted(ranked, ranked, side="left")  # from here on, `score >= ranked[i]`
    acted_below = np.concatenate([[0], np.cumsum(positive)])[first]
    allowed_above = np.concatenate([np.cumsum(~positive[::-1])[::-1], [0]])[first]
    return float(ranked[int(np.argmin(acted_below + allowed_above))])


def aligned(table: pa.Table, event_ids: pa.Array) -> pa.Table:
    """The table's row for each of these events, in their order; nulls where it has none."""
    known = table["event_id"].combine_chunks()
    return table.take(pc.index_in(event_ids, value_set=known))


def _decision(verdict: Verdict) -> dict[str, Any]:
    stages = [{"name": one.name, "ran": one.ran, "score": one.score} for one in verdict.stages]
    prefilter, specialist = stage_scores(stages)
    return {
        "event_id": verdict.event_id,
        "score": verdict.score,
        "action": verdict.action,
        "model_version": verdict.model_version,
        "reasons": list(verdict.reasons),
        "prefilter_score": prefilter,
        "specialist_score": specialist,
    }
