"""Wallets whose checksum is right, from the standards' own examples."""

from __future__ import annotations

import pytest

from pipelines.features.text.wallets import MAX_CANDIDATES, Wallet, wallets_in


@pytest.mark.parametrize(
    ("chain", "address"),
    [
        ("bitcoin", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
        ("bitcoin", "3P14159f73E4gFr7JterCCQh9QjiTjiZrG"),
        ("bitcoin", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"),  # BIP 173
        ("bitcoin", "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4"),
        ("bitcoin", "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"),  # BIP 350
        ("ethereum", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"),  # EIP-55
        ("tron", "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"),
    ],
)
def test_an_address_with_the_right_checksum_is_a_wallet(chain: str, address: str) -> None:
    assert wallets_in(f"send it to {address}, thanks") == (Wallet(chain, address),)


@pytest.mark.parametrize(
    "address",
    [
        "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb",
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
        "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6u",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe",
        "1111111111111111111111111111111111",
    ],
)
def test_one_wrong_letter_makes_it_no_wallet(address: str) -> None:
    assert wallets_in(address) == ()


def test_the_same_wallet_counts_once_and_candidates_are_bounded() -> None:
    wallet = "0x" + "a" * 40
    assert len(wallets_in(f"{wallet} {wallet}")) == 1
    many = " ".join(f"0x{number:040x}" for number in range(3 * MAX_CANDIDATES))
    assert len(wallets_in(many)) == MAX_CANDIDATES
