"""The labelled accounts of two public collections, as columns that mean the same in Weir."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log, log1p

import numpy as np
from numpy.typing import NDArray

from data_contracts.config import Data
from data_contracts.errors import ContractViolation
from data_contracts.labels import LabelName
from pipelines.catalogue import collection
from pipelines.features.behaviour.graph import follower_ratio
from pipelines.near_duplicates import Components

INSTAGRAM, TWITTER = "behaviour_instagram_fake_accounts", "behaviour_twitter_bots_gilani"
SMALLEST_OF_BAND = {"1k": 1e3, "100k": 1e5, "1M": 1e6, "10M": 1e7}

Row = Mapping[str, str]


@dataclass(frozen=True)
class LabelledAccount:
    """One account: `behaviour` by the names of Weir's columns, `own` by those of its set alone.

    `raw` are the set's columns as they stand. `name` is its handle where the set gives one: for
    grouping only. The client type (`source_identity`) leaks the label and is left out.
    """

    behaviour: Mapping[str, float]
    own: Mapping[str, float]
    raw: Mapping[str, float]
    label: LabelName
    name: str | None = None

    @property
    def is_spam(self) -> bool:
        return self.label == "spam"


def read_accounts(name: str, data: Data) -> list[LabelledAccount]:
    """The accounts of INSTAGRAM or TWITTER in the order of the file.

    MissingPart where the collection is absent, ContractViolation for a column that is not as
    expected.
    """
    read = _READERS[name]
    path = collection(name, data).paths["data.csv.gz"]
    with gzip.open(path, "rt", encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    return [_checked(read, row, f"{name} row {number}") for number, row in enumerate(rows, 1)]


def account_groups(accounts: Sequence[LabelledAccount]) -> NDArray[np.int64]:
    """int64[n]: accounts of one name, or alike in every column, are one group."""
    components = Components(len(accounts))
    components.join_equal(account.name for account in accounts)
    components.join_equal(tuple(account.raw.values()) for account in accounts)
    return components.numbers()


def _checked(read: Callable[[Row], LabelledAccount], row: Row, where: str) -> LabelledAccount:
    try:
        return read(row)
    except (KeyError, ValueError) as error:
        raise ContractViolation(
            "account", None, f"not as its set describes it ({error!r})",
            "place an intact file at the data root", where=where,
        ) from None  # fmt: skip


def _instagram(row: Row) -> LabelledAccount:
    """Akyon & Kalfaoglu 2019, "Instagram fake and automated account detection" (ASYU)."""
    raw = {key: float(value) for key, value in row.items() if key != "isFake"}
    followers, following = raw["userFollowerCount"], raw["userFollowingCount"]
    return LabelledAccount(
        behaviour={
            "followers_log": log1p(followers),
            "following_log": log1p(following),
            "follower_ratio": follower_ratio(followers, following) or 0.0,
            "posts_log": log1p(raw["userMediaCount"]),
            "bio_length": raw["userBiographyLength"],
            "has_avatar": raw["userHasProfilPic"],
        },
        own={key: raw[key] for key in ("userIsPrivate", "usernameDigitCount", "usernameLength")},
        raw=raw,
        label={"0": "ham", "1": "spam"}[row["isFake"]],  # type: ignore[arg-type]
    )


def _twitter(row: Row) -> LabelledAccount:
    """Gilani, Kochmar & Crowcroft 2017, "Classification of Twitter accounts" (ASONAM).

    Posts a day are the set's mean; the fading count `posts_day` has that expectation.
    """
    left_out = ("screen_name", "source_identity", "label", "follower_band")
    raw = {key: float(value) for key, value in row.items() if key not in left_out}
    raw["followers_at_least"] = SMALLEST_OF_BAND[row["follower_band"]]
    behaviour = {
        "account_age_days": raw["age_of_account_in_days"],
        "followers_log": log1p(raw["followers_at_least"]),
        "follower_ratio": log(raw["follower_friend_ratio"]),
        "posts_day": raw["tweet_frequency"],
        "likes_per_post": raw["likes_per_tweet"],
    }
    meant = {
        "age_of_account_in_days", "followers_at_least", "follower_friend_ratio", "tweet_frequency",
        "likes_per_tweet",
    }  # fmt: skip
    return LabelledAccount(
        behaviour=behaviour,
        own={key: value for key, value in raw.items() if key not in meant},
        raw=raw,
        label={"human": "ham", "bot": "spam"}[row["label"]],  # type: ignore[arg-type]
        name=row["screen_name"].casefold(),
    )


_READERS: Mapping[str, Callable[[Row], LabelledAccount]] = {
    INSTAGRAM: _instagram,
    TWITTER: _twitter,
}
