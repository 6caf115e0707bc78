"""Local secrets are made once, readable by their owner only; the environment wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_contracts.errors import MissingPart
from data_contracts.secrets import ACCOUNT_KEY, create_local_secrets, secret, secrets_file


def test_secrets_are_random_private_and_stable(tmp_path: Path) -> None:
    first = create_local_secrets(tmp_path)
    assert len(set(first.values())) == len(first)
    assert secrets_file(tmp_path).stat().st_mode & 0o777 == 0o600
    assert create_local_secrets(tmp_path) == first


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create_local_secrets(tmp_path)
    monkeypatch.setenv(ACCOUNT_KEY, "from-the-vault")
    assert secret(ACCOUNT_KEY, tmp_path) == "from-the-vault"


def test_a_missing_secret_says_how_to_set_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(ACCOUNT_KEY, raising=False)
    with pytest.raises(MissingPart, match=f"{ACCOUNT_KEY}.*make setup"):
        secret(ACCOUNT_KEY, tmp_path)
