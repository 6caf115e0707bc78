"""The real model server around a stand-in ensemble: `capital_letters PORT SLOT`.

The stand-in scores by the share of capital letters. It waits when the text starts with "slow",
and fails when it starts with "broken".
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

from data_contracts.config import load_settings
from data_contracts.events import Event
from data_contracts.verdicts import Assessment, Stage
from serving.cascade import Cascade


class CapitalLetters:
    """Needs no model: the score is the share of capitals; half of them is a block."""

    version = "capitals-1"
    threshold_version = "thresholds-1"

    def assess(self, events: Sequence[Event]) -> list[Assessment]:
        return [self._assess(event) for event in events]

    def settled(self, events: Sequence[Event]) -> list[Assessment | None]:
        return [
            None if event.text.startswith(("slow", "broken")) else self._assess(event)
            for event in events
        ]

    def _assess(self, event: Event) -> Assessment:
        if event.text.startswith("slow"):
            time.sleep(0.5)
        if event.text.startswith("broken"):
            raise RuntimeError(event.text)
        score = sum(one.isupper() for one in event.text) / max(len(event.text), 1)
        shouts = score >= 0.5
        reasons = ("shouting",) if shouts else ()
        stages = (Stage("capitals", ran=True, score=round(score, 6)),)
        return Assessment(score, "block" if shouts else "allow", reasons, stages)


def main(port: int, slot: str) -> dict[str, object]:
    from serving.server import serve_cascade, take_port

    settings = load_settings()
    model = CapitalLetters()
    with take_port(settings.serving.host, port) as listener:
        cascade = Cascade(model, os.environ.get("VERSION", model.version), model.threshold_version)
        return serve_cascade(cascade, listener, slot, settings)


if __name__ == "__main__":
    print(main(int(sys.argv[1]), sys.argv[2]))
