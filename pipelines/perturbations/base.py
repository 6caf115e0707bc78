"""The interface of a perturbation, and what all of them share."""

from __future__ import annotations

import re
import zlib
from abc import abstractmethod
from collections.abc import Callable
from typing import Protocol

import numpy as np

from data_contracts.events import Event

# Links, addresses and numbers must still work afterwards.
_FIXED = re.compile(
    r"(?:https?://|www\.)\S+|\S+@\S+|\S+\.(?:com|net|org|info|me|ly|co)\b\S*|\S*\d\S*"
)


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
    for match in _FIXED.finditer(text):
        parts += [edit(text[end : match.start()]), match.group()]
        end = match.end()
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
