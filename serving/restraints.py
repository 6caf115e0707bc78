"""What incident response holds a running server to, while it does: see `pipelines.switches`.

Prefilter only, thresholds that are shifted, less room for a class of requests. What was so when an
event was decided stands in its verdict and its record, so that replay decides the same.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from pipelines import switches
from pipelines.switch_reader import EVERY_SECONDS, SwitchReader
from pipelines.switches import Name
from serving.logs import say

HEEDED: Final[tuple[Name, ...]] = (
    switches.PREFILTER_ONLY, switches.THRESHOLD_SHIFT, switches.ADMISSION_SHARES,
)  # fmt: skip
FIRST_ANSWER_SECONDS = 2.0


@dataclass(frozen=True)
class Restraints:
    """`threshold_shift` log-odds are added to every threshold; `shares` of the waiting room, by
    class, where a class has less of it than is configured.
    """

    prefilter_only: bool = False
    threshold_shift: float = 0.0
    shares: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))


UNRESTRAINED = Restraints()
Held = Callable[[], Restraints]


def unrestrained() -> Restraints:
    """For a server that nobody holds to anything, and for replay."""
    return UNRESTRAINED


class HeededSwitches:
    """The restraints as of the state database's last answer, which a thread asks for.

    Nobody waits for it: where the database does not answer, the last answer holds, and that is
    said once.
    """

    def __init__(self, reader: SwitchReader) -> None:
        self._reader = reader
        self._restraints = UNRESTRAINED
        self._said = ""
        self._stop, self._asked = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="switches", daemon=True)

    def __call__(self) -> Restraints:
        return self._restraints

    def start(self) -> None:
        """Ask from now on. Waits a little for the first answer, so that a restarted server is held
        from its first verdict on; not longer, for a server must start without the database.
        """
        self._thread.start()
        self._asked.wait(FIRST_ANSWER_SECONDS)

    def close(self) -> None:
        """Stop asking; a question that has no answer yet is left to end by itself."""
        self._stop.set()
        self._thread.join(FIRST_ANSWER_SECONDS)

    def ask(self) -> None:
        self._reader.ask()
        restraints = restraints_of(self._reader)
        if restraints != self._restraints:
            say("incident response holds this server to {restraints}", "warning",
                restraints=str(restraints))  # fmt: skip
        self._restraints = restraints
        if (problem := self._reader.problem) != self._said:
            self._said = problem
            say("switches of incident response: {problem}", "warning",
                problem=problem or "heard again")  # fmt: skip

    def _run(self) -> None:
        while not self._stop.is_set():
            self.ask()
            self._asked.set()
            self._stop.wait(EVERY_SECONDS)


def restraints_of(reader: SwitchReader) -> Restraints:
    """As of the reader's last answer; a switch that was never answered is off. Reads no file."""
    return Restraints(
        prefilter_only=bool(reader.holds(switches.PREFILTER_ONLY)),
        threshold_shift=switches.threshold_shift(reader.holds(switches.THRESHOLD_SHIFT)),
        shares=switches.admission_shares(reader.holds(switches.ADMISSION_SHARES)),
    )
