"""What composed events are made of: texts, pictures, clips and profiles of the real sets.

Every source stands in one of BUCKETS buckets, near-duplicates together, and an event draws all
its sources from one bucket. So the bucket is the group that splits keep together, and two
compositions of different buckets share no text, picture, clip or profile. The private photos of
`dredze_personal` are left out: composed media are landed and may be shown to reviewers.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from data_contracts.config import Data
from data_contracts.errors import MissingPart
from data_contracts.labels import LabelledEvent
from pipelines.catalogue import collection, read_labelled
from pipelines.image_sets import DREDZE_ARCHIVE, DREDZE_PERSONAL, IMPROVED, ISH, read_images
from pipelines.near_duplicates import Components, group_related, normalised
from pipelines.simulation import synthetic_sources

BUCKETS = 20
TEXT_SETS = (
    "text_sms_spam_uci", "text_sms_turkish", "text_telegram_chinese", "text_youtube_spam",
    "text_sms_multilingual_de", "text_sms_multilingual_fr",
)  # fmt: skip
EDGE_CHARACTERS = 20
TEXT_CHARACTERS = (6, 400)  # shorter says nothing, longer is no post
PUBLISHER_BANDS = ("100k", "1M")

ProfileKind = Literal["person", "newcomer", "publisher"]
Source = TypeVar("Source", "TextSource", "PictureSource", "ClipSource", "Profile")
Say = Callable[[str], None]


@dataclass(frozen=True)
class TextSource:
    """A row of a text set, by the catalogue's id and group, so that others can leave it out."""

    event_id: str
    group: str | None
    text: str
    language: str
    is_spam: bool
    bucket: int


@dataclass(frozen=True)
class PictureSource:
    """An image file as sent."""

    content: bytes
    is_spam: bool
    bucket: int

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class ClipSource:
    """A video file; none is known to be spam."""

    content: bytes
    bucket: int


@dataclass(frozen=True)
class Profile:
    """What an account set says of one account; `age_days` is overruled for newcomers."""

    kind: ProfileKind
    age_days: float
    followers: int
    following: int
    posts: int
    has_avatar: bool
    bio_length: int
    bucket: int


@dataclass(frozen=True)
class Sources:
    """All sources, or those of some buckets. `synthetic` names the parts that were made up."""

    texts: tuple[TextSource, ...]
    pictures: tuple[PictureSource, ...]
    clips: tuple[ClipSource, ...]
    profiles: tuple[Profile, ...]
    synthetic: frozenset[str] = frozenset()

    def within(self, buckets: Collection[int]) -> Sources:
        """The sources of these buckets alone."""
        return replace(
            self,
            texts=_of(self.texts, buckets),
            pictures=_of(self.pictures, buckets),
            clips=_of(self.clips, buckets),
            profiles=_of(self.profiles, buckets),
        )

    @property
    def event_ids(self) -> frozenset[str]:
        """Rows of the text sets that these sources hold: no model that meets events composed
        of these buckets may have been trained on them."""
        return frozenset(source.event_id for source in self.texts)

    @property
    def picture_sha256(self) -> frozenset[str]:
        """The same of the image sets."""
        return frozenset(source.sha256 for source in self.pictures)


def read_sources(data: Data, cache: Path, say: Say) -> Sources:
    """The real sets as far as they are there; a part without any is made up, and said to be."""
    texts = _texts(data, cache, say)
    pictures = _found("pictures", lambda: _pictures(data), say)
    clips = _found("clips", lambda: _clips(data), say)
    profiles = _found("profiles", lambda: _profiles(data), say)
    real = {"texts": texts, "pictures": pictures, "clips": clips, "profiles": profiles}
    synthetic = frozenset(name for name, found in real.items() if not found)
    instead = made_up() if synthetic else Sources((), (), (), ())
    return Sources(
        tuple(texts) or instead.texts,
        tuple(pictures) or instead.pictures,
        tuple(clips) or instead.clips,
        tuple(profiles) or instead.profiles,
        synthetic,
    )


@cache
def made_up(texts: int = 2000, pictures: int = 4, profiles: int = 20) -> Sources:
    """Synthetic sources, for machines without any dataset: `pictures` and `profiles` a bucket.

    Nothing measured on them says anything about real traffic.
    """
    rows = synthetic_sources.texts(texts)
    return Sources(
        texts=tuple(_bucketed_texts(rows, group_related(rows).tolist())),
        pictures=tuple(
            PictureSource(synthetic_sources.picture(number, is_spam), is_spam, number % BUCKETS)
            for number in range(pictures * BUCKETS)
            for is_spam in (False, True)
        ),
        clips=(),  # every bucket pans over its own photos
        profiles=tuple(
            Profile(**synthetic_sources.profile(kind, bucket * profiles + number), bucket=bucket)
            for bucket in range(BUCKETS)
            for number in range(profiles)
            for kind in ("person", "newcomer", "publisher")
        ),
        synthetic=frozenset({"texts", "pictures", "clips", "profiles"}),
    )


def bucket_of(key: Hashable) -> int:
    """The bucket of everything that shares this key.

    >>> bucket_of("a") == bucket_of("a"), 0 <= bucket_of("b") < BUCKETS
    (True, True)
    """
    digest = hashlib.blake2b(str(key).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % BUCKETS


def _of(sources: tuple[Source, ...], buckets: Collection[int]) -> tuple[Source, ...]:
    return tuple(source for source in sources if source.bucket in buckets)


def _found(name: str, read: Callable[[], Sequence[Source]], say: Say) -> Sequence[Source]:
    try:
        return read()
    except MissingPart as error:
        say(f"compose: {error}")
        say(f"compose: so {name} are SYNTHETIC (seeded generator)")
        return ()


def _texts(data: Data, cache: Path, say: Say) -> list[TextSource]:
    rows: list[LabelledEvent] = []
    for name in TEXT_SETS:
        try:
            rows += read_labelled(name, data, cache)
        except MissingPart as error:
            say(f"compose: {error}")
    if not rows:
        say("compose: no text set was found, so texts are SYNTHETIC (seeded generator)")
    return _bucketed_texts(rows, _kept_together(rows))


def _bucketed_texts(rows: Sequence[LabelledEvent], groups: Sequence[int]) -> list[TextSource]:
    """Rows as sources, those of one group in one bucket.

    A row of unfit length keeps its place: it is never drawn, yet its id counts as held.
    """
    first: dict[int, str] = {}
    for group, row in zip(groups, rows, strict=True):
        first[group] = min(first.get(group, row.event.event_id), row.event.event_id)
    return [
        TextSource(
            row.event.event_id,
            row.group,
            row.event.text,
            row.event.language or "und",
            row.is_spam,
            bucket_of(first[group]),
        )
        for group, row in zip(groups, rows, strict=True)
    ]


def _kept_together(rows: Sequence[LabelledEvent]) -> list[int]:
    """The group of each row: near-duplicates, and a text with its translations.

    Long texts with the same first or last EDGE_CHARACTERS belong together, too: the chain of a
    template is longer than its near-duplicates reach.
    """
    components = Components(len(rows))
    components.join_equal(group_related(rows).tolist())
    plain = [normalised(row.event.text) for row in rows]
    long = [text if len(text) >= 2 * EDGE_CHARACTERS else None for text in plain]
    components.join_equal([text and text[:EDGE_CHARACTERS] for text in long])
    components.join_equal([text and text[-EDGE_CHARACTERS:] for text in long])
    groups: list[int] = components.numbers().tolist()
    return groups


def _pictures(data: Data) -> list[PictureSource]:
    """Photos of ISH, and the spam of every set; edited copies of one photo share a bucket."""
    return [
        PictureSource(image.content, image.is_spam, bucket_of(image.group))
        for image in read_images(data, ISH, DREDZE_PERSONAL, DREDZE_ARCHIVE, IMPROVED)
        if image.is_spam or image.source == ISH
    ]


def _clips(data: Data) -> list[ClipSource]:
    """One file of each clip, spread over the buckets; most buckets have none."""
    paths = collection("video_near_duplicates", data).paths
    files: dict[str, list[str]] = defaultdict(list)
    for row in _rows(paths["manifest.csv.gz"]):
        files[row["source_clip"]].append(row["file"])
    smallest = [
        min((paths[name] for name in names), key=lambda path: path.stat().st_size)
        for _, names in sorted(files.items())
    ]
    step = BUCKETS / max(1, len(smallest))
    return [
        ClipSource(path.read_bytes(), int(number * step)) for number, path in enumerate(smallest)
    ]


def _profiles(data: Data) -> list[Profile]:
    """People: Instagram's real accounts, Gilani's humans; publishers: humans with an audience.

    Newcomers look like Instagram's fakes and Gilani's small bots whoever they are: ham has
    newcomers, too, and draws them from the same rows.
    """
    twitter = collection("behaviour_twitter_bots_gilani", data).paths["data.csv.gz"]
    instagram = collection("behaviour_instagram_fake_accounts", data).paths["data.csv.gz"]
    found = [profile for row in _rows(twitter) if (profile := _of_twitter(row)) is not None]
    ages = np.sort(np.array([profile.age_days for profile in found]))
    return [*found, *(_of_instagram(row, ages) for row in _rows(instagram))]


def _of_twitter(row: Mapping[str, str]) -> Profile | None:
    human, band = row["label"] == "human", row["follower_band"]
    if band == "1k":
        kind: ProfileKind = "person" if human else "newcomer"
    elif human and band in PUBLISHER_BANDS:
        kind = "publisher"
    else:
        return None
    rng = np.random.default_rng(_seed(row["screen_name"]))
    followers = {"1k": 1_000, "100k": 100_000, "1M": 1_000_000}[band] * rng.lognormal(0.0, 0.5)
    followers = min(followers, rng.uniform(0, 400)) if kind == "newcomer" else followers
    age = float(row["age_of_account_in_days"])
    return Profile(
        kind=kind,
        age_days=age,
        followers=int(followers),
        following=int(min(20_000, followers / max(0.05, float(row["follower_friend_ratio"])))),
        posts=int(min(200_000, float(row["tweet_frequency"]) * age / 7)),
        has_avatar=bool(rng.random() < 0.97),
        bio_length=int(rng.integers(0, 160)),
        bucket=bucket_of(row["screen_name"].lower()),
    )


def _of_instagram(row: Mapping[str, str], ages: NDArray[np.float64]) -> Profile:
    key = "|".join(row.values())
    rng = np.random.default_rng(_seed(key))
    return Profile(
        kind="newcomer" if row["isFake"] == "1" else "person",
        age_days=float(rng.choice(ages)),
        followers=int(row["userFollowerCount"]),
        following=int(row["userFollowingCount"]),
        posts=int(row["userMediaCount"]),
        has_avatar=row["userHasProfilPic"] == "1",
        bio_length=int(row["userBiographyLength"]),
        bucket=bucket_of(key),
    )


def _seed(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big")


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as text:
        yield from csv.DictReader(text)
