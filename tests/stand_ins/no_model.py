"""The real model server around an ensemble that does nothing: `no_model PORT SLOT`.

Weir's side of the trivial request in `make bench-serving`; the other is `kserve_route`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from data_contracts.config import load_settings
from data_contracts.events import Event
from data_contracts.verdicts import Assessment, Stage
from serving.cascade import Cascade

ANSWER = Assessment(0.01, "allow", (), (Stage("nothing", ran=True, score=0.01),))


class Nothing:
    """Answers each event with the same score."""

    version = "nothing-1"
    threshold_version = "thresholds-1"

    def assess(self, events: Sequence[Event]) -> list[Assessment]:
        return [ANSWER] * len(events)

    def settled(self, events: Sequence[Event]) -> list[Assessment | None]:
        return [ANSWER] * len(events)


def main(port: int, slot: str) -> dict[str, object]:
    from serving.server import serve_cascade, take_port

    settings = load_settings()
    model = Nothing()
    with take_port(settings.serving.host, port) as listener:
        cascade = Cascade(model, model.version, model.threshold_version)
        return serve_cascade(cascade, listener, slot, settings)


if __name__ == "__main__":
    print(main(int(sys.argv[1]), sys.argv[2]))
