"""The real model server around a stand-in that asks for the past: `remembering PORT SLOT`.

An account that was found to spam is blocked; else the score is the share of capital letters.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from data_contracts.config import load_settings
from data_contracts.events import Event
from data_contracts.verdicts import Assessment, Stage
from serving.cascade import Cascade
from tests.stand_ins.capital_letters import CapitalLetters

KNOWN = "account_known_for_spam"


class Remembering(CapitalLetters):
    """Reads `behaviour.confirmed_spam`; `withheld` is taken as an ensemble takes it."""

    version = "remembering-1"

    def has_stage(self, name: str) -> bool:
        return name in ("behaviour", "surroundings")

    def assess(
        self,
        events: Sequence[Event],
        *,
        withheld: Mapping[str, str] | None = None,
    ) -> list[Assessment]:
        return [self._remembered(event) for event in events]

    def _remembered(self, event: Event) -> Assessment:
        confirmed = event.context.get("behaviour.confirmed_spam")
        if isinstance(confirmed, float) and confirmed > 0:
            return Assessment(0.9, "block", (KNOWN,), (Stage("behaviour", True, 0.9),))
        return self._assess(event)


def main(port: int, slot: str) -> dict[str, object]:
    from serving.server import serve_cascade, take_port

    settings, model = load_settings(), Remembering()
    with take_port(settings.serving.host, port) as listener:
        cascade = Cascade(model, model.version, model.threshold_version)
        return serve_cascade(cascade, listener, slot, settings)


if __name__ == "__main__":
    print(main(int(sys.argv[1]), sys.argv[2]))
