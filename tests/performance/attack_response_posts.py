"""What is posted while the loop is tried: ordinary traffic, and from one moment on a campaign.

Ordinary posts are rows of the later replayed days, drawn anew and anew; ham that is to judge the
released model is held back until then. The campaign are the texts nearest to one real text of a
corpus that the champion never saw, one a near-duplicate group, each post written a little
otherwise. Held-out texts of the campaign are sent by nobody before the release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from data_contracts.config import Settings
from data_contracts.labels import LabelledEvent
from pipelines import landing
from pipelines.catalogue import read_labelled
from pipelines.features.text.normalisation import readable
from pipelines.labelling.event_features import FrozenEncoder
from pipelines.labelling.oracle import read_truth, truth_file
from pipelines.near_duplicates import group_near_duplicates, group_related
from pipelines.perturbations import PERTURBATIONS
from pipelines.simulation.replay import TRUTH

FAMILY_SET, FAMILY_SEED_EVENT, FAMILY_SIZE = "text_telegram_chinese", "b550a070df8681aa", 150
HELD_OUT = 0.4  # of the family's texts
FRESH_HAM = 0.3  # of ordinary ham, kept for the released model
ORDINARY_SPAM = 0.1  # of ordinary posts
DISGUISES = {"han_variants": 0.3, "spacing": 0.3, "zero_width": 0.3}  # and as often none
ACCOUNTS = 5_000
LANGUAGE = "zh"
Kind = str  # ham, spam, campaign, held_out, fresh_ham


@dataclass(frozen=True)
class Planned:
    """A post and when it is to be sent, in seconds after the start; `group` names its text."""

    at: float
    kind: Kind
    group: int
    event: Mapping[str, Any]

    def as_line(self) -> bytes:
        return orjson.dumps(
            {"at": self.at, "kind": self.kind, "group": self.group, "event": self.event},
            option=orjson.OPT_APPEND_NEWLINE,
        )


@dataclass(frozen=True)
class Texts:
    """(text, language) of each kind; `held_out` shares no near-duplicate with `campaign`."""

    by_kind: Mapping[Kind, Sequence[tuple[str, str | None]]]

    def __getitem__(self, kind: Kind) -> Sequence[tuple[str, str | None]]:
        return self.by_kind[kind]


def texts_of(settings: Settings, days: Sequence[str], rng: np.random.Generator) -> Texts:
    """Ordinary texts of these landed days, and the family's."""
    ordinary: dict[str, list[tuple[str, str | None]]] = {"ham": [], "spam": []}
    for day in days:
        truth = read_truth(truth_file(settings.home, day))
        for path in landing.files(settings.home, day):
            for raw in path.read_bytes().splitlines():
                event = orjson.loads(raw)
                label = truth[event["event_id"]]
                ordinary[label].append((event["text"], event.get("language")))
    fresh, ham = _divided(ordinary["ham"], FRESH_HAM, rng)
    held_out, campaign = _divided(family(settings), HELD_OUT, rng)
    return Texts({"ham": ham, "fresh_ham": fresh, "spam": ordinary["spam"],
                  "campaign": campaign, "held_out": held_out})  # fmt: skip


def family(settings: Settings) -> list[tuple[str, str | None]]:
    """The spam that is nearest to the seed text, one text a near-duplicate group."""
    rows: Sequence[LabelledEvent] = read_labelled(FAMILY_SET, settings.data, settings.cache)
    first = np.sort(np.unique(group_related(rows), return_index=True)[1])
    spam = [rows[row] for row in first if rows[row].is_spam]
    encoder = FrozenEncoder(settings.data, settings.cache)
    vectors = np.array(encoder.embed([readable(row.event.text) for row in spam]), np.float32)
    seed = [row.event.event_id for row in spam].index(FAMILY_SEED_EVENT)
    nearest = np.argsort(-(vectors @ vectors[seed]), kind="stable")[:FAMILY_SIZE]
    return [(spam[row].event.text, LANGUAGE) for row in nearest]


def stream(
    texts: Texts, seconds: float, rate: float, shares: Mapping[Kind, float], begin: float,
    prefix: str, rng: np.random.Generator,
) -> list[Planned]:  # fmt: skip
    """`rate` posts a second of the kinds by their `shares` of the rest; campaign from `begin` on.

    Each post has an id of its own, and a campaign's post an account of its own.
    """
    times = np.arange(0.0, seconds, 1.0 / rate)
    kinds = list(shares)
    planned = []
    for number, at in enumerate(times.tolist()):
        kind = kinds[int(rng.choice(len(kinds), p=list(shares.values())))]
        if kind == "campaign" and at < begin:
            kind = "ham"
        planned.append(_post(texts, kind, at, f"{prefix}-{number}", rng))
    return planned


def each_once(
    texts: Texts, kind: Kind, prefix: str, rng: np.random.Generator, *, disguise: bool = False
) -> list[Planned]:
    """Every text of a kind once, at time 0, as it is or written a little otherwise."""
    return [
        _written(text, kind, 0.0, group, f"{prefix}-{kind}-{group}", rng, disguise=disguise)
        for group, text in enumerate(texts[kind])
    ]


def spread(planned: Sequence[Planned], rate: float, rng: np.random.Generator) -> list[Planned]:
    """The same posts in random order, `rate` a second."""
    order = rng.permutation(len(planned)).tolist()
    return [replace(planned[row], at=place / rate) for place, row in enumerate(order)]


def write_plan(planned: Sequence[Planned], path: Path) -> Path:
    """In order of time, a line a post."""
    ordered = sorted(planned, key=lambda one: one.at)
    path.write_bytes(b"".join(one.as_line() for one in ordered))
    return path


def write_truth(planned: Sequence[Planned], day: str, home: Path) -> None:
    """What the demo reviewer will answer about them; nothing else reads it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {
            "event_id": one.event["event_id"],
            "label": "ham" if one.kind in ("ham", "fresh_ham") else "spam",
            "dataset": one.kind, "group": one.group, "original_time": None,
        }
        for one in planned
    ]  # fmt: skip
    path = truth_file(home, day)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=TRUTH), path)


def _post(texts: Texts, kind: Kind, at: float, event_id: str, rng: np.random.Generator) -> Planned:
    group = int(rng.integers(len(texts[kind])))
    disguise = kind == "campaign"
    return _written(texts[kind][group], kind, at, group, event_id, rng, disguise=disguise)


def _written(
    text: tuple[str, str | None], kind: Kind, at: float, group: int, event_id: str,
    rng: np.random.Generator, *, disguise: bool,
) -> Planned:  # fmt: skip
    content, language = text
    if disguise:
        content = _disguised(content, rng)
    account = event_id if kind == "campaign" else f"account-{int(rng.integers(ACCOUNTS))}"
    event = {"event_id": event_id, "text": content, "account": account}
    return Planned(at, kind, group, event | ({"language": language} if language else {}))


def _disguised(text: str, rng: np.random.Generator) -> str:
    names = [None, *DISGUISES]
    name = names[int(rng.integers(len(names)))]
    return text if name is None else PERTURBATIONS[name](DISGUISES[name]).perturb(text, rng)


def _divided(
    texts: Sequence[tuple[str, str | None]], share: float, rng: np.random.Generator
) -> tuple[list[tuple[str, str | None]], list[tuple[str, str | None]]]:
    """About `share` of the texts, and the others; near-duplicates stay together."""
    groups = group_near_duplicates([text for text, _ in texts])
    chosen = rng.random(int(groups.max()) + 1) < share
    one = [text for text, group in zip(texts, groups, strict=True) if chosen[group]]
    other = [text for text, group in zip(texts, groups, strict=True) if not chosen[group]]
    return one, other
