"""The labelled accounts: what is read of them, and which belong together."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
from pathlib import Path

import pytest

from data_contracts.config import Data, load_settings
from data_contracts.errors import ContractViolation, MissingPart
from pipelines.account_sets import (
    INSTAGRAM,
    TWITTER,
    LabelledAccount,
    account_groups,
    read_accounts,
)
from pipelines.features.behaviour.extraction import BehaviourExtractor

FAKE = {
    "userFollowerCount": "0", "userFollowingCount": "0", "userBiographyLength": "7",
    "userMediaCount": "0", "userHasProfilPic": "0", "userIsPrivate": "1",
    "usernameDigitCount": "3", "usernameLength": "9", "isFake": "1",
}  # fmt: skip


def placed(root: Path, *rows: dict[str, str]) -> Data:
    folder = root / INSTAGRAM
    folder.mkdir()
    with gzip.open(folder / "data.csv.gz", "wt", encoding="utf-8", newline="") as text:
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return load_settings().data.model_copy(update={"root": root})


def account(name: str | None, value: float) -> LabelledAccount:
    return LabelledAccount({}, {}, {"value": value}, "ham", name)


def test_an_account_is_read_with_the_names_of_our_columns(tmp_path: Path) -> None:
    (found,) = read_accounts(INSTAGRAM, placed(tmp_path, FAKE))
    assert found.is_spam
    assert (found.behaviour["bio_length"], found.behaviour["follower_ratio"]) == (7, 0)
    assert found.own == {"userIsPrivate": 1, "usernameDigitCount": 3, "usernameLength": 9}


@pytest.mark.parametrize("broken", [FAKE | {"isFake": "2"}, FAKE | {"userMediaCount": "many"}])
def test_a_row_that_is_not_as_described_is_named(tmp_path: Path, broken: dict[str, str]) -> None:
    with pytest.raises(ContractViolation, match="row 2"):
        read_accounts(INSTAGRAM, placed(tmp_path, FAKE, broken))


def test_accounts_alike_or_of_one_name_are_one_group() -> None:
    accounts = [
        account("a", 1),
        account("b", 2),
        account("a", 3),
        account("c", 2),
        account(None, 4),
    ]
    assert account_groups(accounts).tolist() == [0, 1, 0, 1, 2]


@pytest.mark.dataset
@pytest.mark.parametrize("name", [INSTAGRAM, TWITTER])
def test_the_real_sets_use_known_columns(name: str) -> None:
    accounts = real(name)
    assert {one.label for one in accounts} == {"spam", "ham"}
    assert set(accounts[0].behaviour) < set(BehaviourExtractor.names)
    assert not {"screen_name", "source_identity"} & set(accounts[0].raw)
    assert len(account_groups(accounts)) == len(accounts)


def real(name: str) -> Sequence[LabelledAccount]:
    try:
        return read_accounts(name, load_settings().data)
    except MissingPart as missing:
        pytest.skip(str(missing))
