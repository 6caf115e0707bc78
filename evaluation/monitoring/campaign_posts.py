"""The posts among which campaigns are looked for: a bounded sample of the decision log.

Of each side of `start` the posts with the lowest hashes of their event ids are kept: as uniform a
sample as a random one, the same whenever it is drawn, in memory that does not grow with the log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import nsmallest
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from pipelines.live_events import WARM_UP

Line = Mapping[str, Any]
HASH_BYTES = 8


class Post(NamedTuple):
    """What is asked of one decision about a user's post; `account` is its hash, None: unknown."""

    event_id: str
    text: str
    account: str | None
    allowed: bool
    at: datetime


@dataclass(frozen=True)
class Sides:
    """Samples of the posts since `start` and of those before, and of how many each is one."""

    now: list[Post]
    before: list[Post]
    posts_now: int
    posts_before: int


class _Sample:
    """The `most` posts with the lowest hashes of all that are added."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: list[tuple[int, Post]] = []
        self.added = 0

    def add(self, post: Post) -> None:
        self.added += 1
        self._kept.append((_order(post.event_id), post))
        if len(self._kept) >= 2 * self._most:
            self._kept = self._lowest()

    def posts(self) -> list[Post]:
        return sorted(
            (post for _, post in self._lowest()), key=lambda post: (post.at, post.event_id)
        )

    def _lowest(self) -> list[tuple[int, Post]]:
        return nsmallest(self._most, self._kept, key=lambda one: (one[0], one[1].event_id))


def sides_of(posts: Iterable[Post], start: datetime, most_now: int, most_before: int) -> Sides:
    """At most so many of each side of `start`; posts without a text are no posts here."""
    now, before = _Sample(most_now), _Sample(most_before)
    for post in posts:
        if post.text.strip():
            (now if post.at >= start else before).add(post)
    return Sides(now.posts(), before.posts(), now.added, before.added)


def decided_posts(folder: Path, start: datetime, end: datetime) -> Iterator[Post]:
    """Decisions about users' posts in [start, end) by the log's files, first revisions only.

    Mirrored ones, warm-ups and lines that are no records are left out, and so are files that
    nobody touched since.
    """
    for path in sorted(folder.glob("*.jsonl")):
        if path.stat().st_mtime < start.timestamp():
            continue
        with path.open("rb") as file:
            for line in file:
                post = _post(line)
                if post is not None and start <= post.at < end:
                    yield post


def _post(raw: bytes) -> Post | None:
    try:
        line: Line = orjson.loads(raw)
        verdict, event = line["verdict"], line["event"]
        if line["mirrored"] or verdict["revision"] or verdict["event_id"].startswith(WARM_UP):
            return None
        at = datetime.fromisoformat(line["decided_at"])
        return Post(
            verdict["event_id"], str(event.get("text") or ""), event.get("account"),
            verdict["action"] == "allow", at if at.tzinfo else at.replace(tzinfo=UTC),
        )  # fmt: skip
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError):
        return None  # torn, or no record: ingestion names it


def _order(event_id: str) -> int:
    digest = hashlib.blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=HASH_BYTES)
    return int.from_bytes(digest.digest(), "big")
