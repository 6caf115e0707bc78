"""The sample report of a day: which arm chose how many and why, what it cost and what it taught.

`{reports}/sampling/day=YYYY-MM-DD.json`, and the same as a page of its own beside it. Neither
holds a word that a user wrote, nor an event's name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.files import write_atomically
from pipelines.labelling.label_history import days_before
from pipelines.labelling.learning_curve import learning_curve
from pipelines.labelling.queue import Answer, LabelQueue, NewTask
from pipelines.labelling.sample_page import page
from pipelines.labelling.samplers.base import Draw, Pool, stacked
from pipelines.labelling.samplers.wrappers import NEAR_DUPLICATE
from pipelines.neighbours import distinct, nearest

if TYPE_CHECKING:
    from pipelines.labelling.sampling import DaySample

FOLDER = "sampling"
BINS = 10
COST_DAYS = 14
BY_HAND = "reviewer"  # whose leases are as long as they looked; others lease in bulk
SIZES = ((1, "single"), (3, "2 to 3"), (10, "4 to 10"), (None, "more than 10"))


def write(sample: DaySample, tasks: Sequence[NewTask], queue: LabelQueue, reports: Path) -> Path:
    """The page, and the JSON it was made of."""
    earlier = days_before(sample.day, COST_DAYS, list(queue.progress()))
    answers = [answer for day in earlier for answer in queue.answers(day)]
    content = report(sample, tasks, answers)
    path = page_of(reports, sample.day)
    write_atomically(path.with_suffix(".json"), orjson.dumps(content, option=orjson.OPT_INDENT_2))
    write_atomically(path, page(content).encode())
    return path


def page_of(reports: Path, day: str) -> Path:
    """Where a day's page is."""
    return reports / FOLDER / f"day={day}.html"


def report(
    sample: DaySample, tasks: Sequence[NewTask], answers: Sequence[Answer]
) -> dict[str, Any]:
    """Everything that the page shows, as JSON types. `answers` are those of the days before."""
    pool, draws = sample.made.pool, sample.selection.draws
    curve = learning_curve(sample.made.history, np.random.default_rng(len(sample.made.history)))
    return {
        "day": sample.day,
        "pool": {
            "events": pool.population or len(pool),
            "shortlisted": len(pool),
            "scored": sample.made.decided.num_rows,
            "embedded": len(pool.embedded()),
            "threshold": pool.threshold,
        },
        "tasks": {
            "events": len(draws),
            "asked_twice": sum(task.answers_wanted > 1 for task in tasks),
            "gold_questions": sum(task.gold is not None for task in tasks),
        },
        "arms": _arms(sample, answers),
        "gaps": list(sample.made.gaps),
        "learning_curve": None if curve is None else asdict(curve),
        "drift": {
            "population_stability_index": _rounded(sample.drift),
            "half_life_hours": round(sample.half_life_hours, 1),
            "scores_before": len(sample.made.before),
        },
        "scores": _scores(pool, draws),
        "languages": _languages(pool, draws),
        "campaigns": _campaigns(pool, draws),
        "near_duplicates": _near_duplicates(pool, draws),
    }


def _arms(sample: DaySample, answers: Sequence[Answer]) -> list[dict[str, Any]]:
    chosen = Counter(draw.arm for draw in sample.selection.draws)
    parts = Counter(draw.strategy for draw in sample.selection.draws)
    found = []
    for arm, share in sample.allocation.shares.items():
        worth = sample.worth.get(arm)
        found.append(
            {
                "arm": arm,
                "share": round(share, 4),
                "chosen": chosen[arm],
                "parts": {name: n for name, n in parts.items() if name.startswith(f"{arm}/")},
                "reason": sample.allocation.reasons[arm],
                "worth": None if worth is None else asdict(worth),
                **_cost([one for one in answers if one.strategy.partition("/")[0] == arm]),
            }
        )
    return found


def _cost(answers: Sequence[Answer]) -> dict[str, Any]:
    """Reviews of an arm's tasks (gold questions test the reviewer and are nobody's find)."""
    own = [answer for answer in answers if answer.gold is None]
    spam = sum(answer.label == "spam" for answer in own)
    looked = [
        (answer.answered_at - answer.leased_at).total_seconds()
        for answer in own
        if answer.source == BY_HAND
    ]
    return {
        "reviews": len(own),
        "spam": spam,
        "spam_a_review": round(spam / len(own), 4) if own else None,
        "median_seconds": round(float(np.median(looked)), 1) if looked else None,
    }


def _scores(pool: Pool, draws: Sequence[Draw]) -> dict[str, Any]:
    """How many events lie in each of BINS equal steps of the score: the pool's, each arm's."""
    score = dict(zip(pool.event_ids, pool.scores.tolist(), strict=True))
    arms = {
        arm: [score[draw.event_id] for draw in draws if draw.arm == arm]
        for arm in dict.fromkeys(draw.arm for draw in draws)
    }
    return {
        "pool": _histogram(pool.scores.tolist()),
        "arms": {arm: _histogram(values) for arm, values in arms.items()},
    }


def _histogram(scores: Iterable[float]) -> list[int]:
    known = [score for score in scores if np.isfinite(score)]
    return [int(n) for n in np.histogram(known, BINS, (0.0, 1.0))[0]]


def _languages(pool: Pool, draws: Sequence[Draw]) -> dict[str, dict[str, int]]:
    """Language of the pool and of each arm's events; "und" where none is known."""
    names = pc.fill_null(pool.table["language"], "und").to_pylist()
    language = dict(zip(pool.event_ids, names, strict=True))
    found: dict[str, Counter[str]] = {"pool": Counter(names)}
    for draw in draws:
        found.setdefault(draw.arm, Counter())[language[draw.event_id]] += 1
    return {name: dict(counts.most_common()) for name, counts in found.items()}


def _campaigns(pool: Pool, draws: Sequence[Draw]) -> list[dict[str, Any]]:
    """By size in the pool: how many campaigns there are, and of how many an event was chosen."""
    table = pool.table.select(["event_id", "campaign", "campaign_size"])
    table = table.filter(pc.is_valid(table["campaign"]))
    ids = pa.array([draw.event_id for draw in draws], pa.string())
    seen = set(table.filter(pc.is_in(table["event_id"], value_set=ids))["campaign"].to_pylist())
    sizes = dict(
        zip(table["campaign"].to_pylist(), table["campaign_size"].to_pylist(), strict=True)
    )
    found, above = [], 0
    for most, name in SIZES:
        among = [key for key, n in sizes.items() if n > above and (most is None or n <= most)]
        above = most or above
        found.append(
            {
                "size": name,
                "campaigns": len(among),
                "events": sum(sizes[key] for key in among),
                "looked_at": sum(key in seen for key in among),
            }
        )
    return found


def _near_duplicates(pool: Pool, draws: Sequence[Draw]) -> dict[str, int] | None:
    """`waiting`: events not chosen that resemble one chosen or known; `repeats`: chosen ones that
    resemble one chosen before them (the audit's draw is blind to that)."""
    able = pool.embedded()
    if not len(able) or not draws:
        return None
    row_of = {event_id: row for row, event_id in enumerate(able.event_ids)}
    rows = [row_of[draw.event_id] for draw in draws if draw.event_id in row_of]
    vectors = stacked(able.table["embedding"])
    rest = np.setdiff1d(np.arange(len(able)), rows)
    known = able.covering(vectors[rows]).covered
    waiting = nearest(vectors[rest], known, 1)[0][:, 0] >= NEAR_DUPLICATE if len(rest) else rest
    first = distinct(vectors[rows], NEAR_DUPLICATE, len(rows))
    return {"waiting": int(waiting.sum()), "repeats": len(rows) - len(first)}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
