"""Attacks on characters: the perturbations of samplers and hardening, as attacks on events."""

from __future__ import annotations

import numpy as np

from data_contracts.events import Event
from evaluation.attacks.base import Family, with_text
from pipelines.perturbations import PERTURBATIONS


class CharacterAttack:
    """One of `pipelines.perturbations`; `strength` is its rate. The paper stands with each."""

    family: Family = "characters"

    def __init__(self, name: str) -> None:
        self.name = name
        self._perturbation = PERTURBATIONS[name]

    def applies_to(self, event: Event) -> bool:
        """Whether the strongest form changes the text; numbers and links alone are not in reach."""
        rng = np.random.default_rng(0)
        return self._perturbation(1.0).perturb(event.text, rng) != event.text

    def disguise(self, event: Event, strength: float, rng: np.random.Generator) -> Event:
        return with_text(event, self._perturbation(strength).perturb(event.text, rng))
