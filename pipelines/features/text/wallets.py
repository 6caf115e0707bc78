"""Addresses of crypto wallets whose checksum is right: Bitcoin, Ethereum, TRON.

Base58Check is that of Bitcoin's wiki; bech32 and bech32m are BIP 173 and BIP 350. Ethereum's
checksum by letter case (EIP-55) is optional for its writers, so forty hexadecimal digits count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256
from itertools import islice
from typing import NamedTuple

MAX_CANDIDATES = 20
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_CONSTANTS = {1, 0x2BC830A3}  # of bech32, of bech32m
_GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHAINS = {0x00: "bitcoin", 0x05: "bitcoin", 0x41: "tron"}  # by version byte
_CANDIDATE = re.compile(
    rf"(?<![A-Za-z0-9])(?:0x[0-9a-fA-F]{{40}}|bc1[{_BECH32}]{{11,71}}|BC1[0-9A-Z]{{11,71}}"
    rf"|[13T][{_BASE58}]{{25,34}})(?![A-Za-z0-9])"
)


class Wallet(NamedTuple):
    """`chain` is bitcoin, ethereum or tron."""

    chain: str
    address: str


def wallets_in(text: str) -> tuple[Wallet, ...]:
    """Distinct wallets among the first MAX_CANDIDATES strings that look like one.

    >>> wallets_in("send to 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa now")[0].chain
    'bitcoin'
    """
    return tuple(dict.fromkeys(_checked(text)))


def _checked(text: str) -> Iterator[Wallet]:
    for match in islice(_CANDIDATE.finditer(text), MAX_CANDIDATES):
        address = match.group()
        if chain := _chain(address):
            yield Wallet(chain, address)


def _chain(address: str) -> str | None:
    if address.startswith("0x"):
        return "ethereum"
    if address[:3].lower() == "bc1":
        return "bitcoin" if _is_bech32(address.lower()) else None
    return _base58_chain(address)


def _base58_chain(address: str) -> str | None:
    number = 0
    for character in address:
        number = number * 58 + _BASE58.index(character)
    if number.bit_length() > 8 * 25:
        return None
    content = number.to_bytes(25, "big")
    checksum = sha256(sha256(content[:-4]).digest()).digest()[:4]
    return _CHAINS.get(content[0]) if checksum == content[-4:] else None


def _is_bech32(address: str) -> bool:
    prefix, _, data = address.partition("1")
    if not set(data) <= set(_BECH32):
        return False
    expanded = [*(ord(letter) >> 5 for letter in prefix), 0, *(ord(x) & 31 for x in prefix)]
    return _polymod([*expanded, *map(_BECH32.index, data)]) in _BECH32_CONSTANTS


def _polymod(values: list[int]) -> int:
    """The checksum register of BIP 173 after these five-bit values."""
    register = 1
    for value in values:
        top = register >> 25
        register = (register & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATORS):
            register ^= generator if top >> bit & 1 else 0
    return register
