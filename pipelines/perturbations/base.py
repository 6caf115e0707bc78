"""The interface of a perturbation, and what all of them share."""

from __future__ import annotations

import re
import zlib
from abc import abstractmethod
from collections.abc import Callable
from typing import Protocol

import numpy as np

from data_contracts.events import Event

HAN = "\u3400-\u4dbf\u4e00-\u9fff"  # CJK Unified Ideographs, and extension A
_CJK = f"\u3000-\u303f\uff00-\uffef{HAN}"  # with their signs: a link ends where these begin
# Links, addresses and numbers must still work afterwards.
_TOKEN = re.compile(rf"[^\s{_CJK}]+")
_FIXED = re.compile(r"https?://|www\.|@|\.(?:com|net|org|info|me|ly|co)\b|\d")
# Chinese has no blanks between words: up to four signs in a row stand for one.
WORD = re.compile(rf"[{HAN}]{{2,4}}|[^\W\d_{HAN}]{{4,}}")


class Perturbation(Protocol):
    """Rewrites a text so that a person still reads the same.

    `rate` in [0, 1] is the share of the characters in reach that are changed: the strength.
    The same text and the same state of `rng` give the same answer.
    """

    def __init__(self, rate: float) -> None: ...

    @abstractmethod
    def perturb(self, text: str, rng: np.random.Generator) -> str:
        """The rewritten text; the text itself where there is nothing to change."""


def disguised(event: Event, perturbation: Perturbation, seed: int) -> Event:
    """The event with its text rewritten; the same for one id and seed, whatever the others are."""
    rng = np.random.default_rng([seed, zlib.crc32(event.event_id.encode())])
    return event.model_copy(update={"text": perturbation.perturb(event.text, rng)})


def check_rate(rate: float) -> float:
    """`rate` itself; ValueError outside [0, 1]."""
    if not 0 <= rate <= 1:
        raise ValueError(f"rate {rate} is outside [0, 1]; it is a share of characters")
    return rate


def outside_links(text: str, edit: Callable[[str], str]) -> str:
    """Apply `edit` to the stretches of `text` between links, addresses and numbers.

    >>> outside_links("win at http://a.example now", str.upper)
    'WIN AT http://a.example NOW'
    """
    parts: list[str] = []
    end = 0
    for token in _TOKEN.finditer(text):
        if _FIXED.search(token.group()):
            parts += [edit(text[end : token.start()]), token.group()]
            end = token.end()
    return "".join([*parts, edit(text[end:])])


def substitute(text: str, choices: dict[str, str], rate: float, rng: np.random.Generator) -> str:
    """Replace a `rate` share of the characters in `choices` by one of their stand-ins."""

    def edit(stretch: str) -> str:
        return "".join(
            choices[letter][int(rng.integers(len(choices[letter])))]
            if letter in choices and rng.random() < rate
            else letter
            for letter in stretch
        )

    return outside_links(text, edit)
