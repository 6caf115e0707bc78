"""What was decided in a phase, by slice: pairs of mirrored events, and events of live arms.

Nothing that a user wrote is kept: ids, who acted, slices, counts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from serving.rollout.late_labels import LateLabel
from serving.rollout.measurements import ALL, ArmSlice, Labelled, PairedSlice

MAXIMUM_EVENTS = 200_000  # that are told apart; a phase that saw more has long been decided
MAXIMUM_SLICES = 32
Side = Literal["canary", "reference"]
Kind = Literal["neither", "only_canary", "only_reference", "both"]
_KINDS: Mapping[tuple[bool, bool], Kind] = {  # canary acted, reference acted
    (False, False): "neither",
    (True, False): "only_canary",
    (False, True): "only_reference",
    (True, True): "both",
}


def slices_of(event: Mapping[str, Any]) -> tuple[str, str]:
    """The slices of an event as a decision record holds it.

    >>> slices_of({"text": "hi", "language": "en", "media": [{"kind": "image"}]})
    ('language=en', 'modality=image')
    """
    kinds = sorted({str(media.get("kind")) for media in event.get("media") or ()})
    return f"language={event.get('language') or 'unknown'}", f"modality={'+'.join(kinds) or 'text'}"


class SliceCounts:
    """Counts by slice and kind, in the order in which slices appeared, all of them first."""

    def __init__(self) -> None:
        self._events: dict[str, Counter[str]] = {}
        self._acted: dict[str, tuple[str, tuple[str, ...]]] = {}  # event id → kind, slices

    def add(self, event_id: str, kind: str, slices: tuple[str, ...]) -> None:
        known = tuple(name for name in (ALL, *slices) if self._has(name))
        for name in known:
            self._events[name][kind] += 1
        if kind != "neither":
            self._acted[event_id] = kind, known

    def events(self, name: str) -> int:
        """Of a slice, of every kind."""
        return self._events[name].total()

    def names(self) -> list[str]:
        return list(self._events)

    def labelled(
        self, labels: Mapping[str, LateLabel], weighing: frozenset[str]
    ) -> Mapping[str, Mapping[str, Labelled]]:
        """By slice and kind. Of the kinds in `weighing` only labels drawn by chance count, each as
        often as the events that it stands for.
        """
        said: dict[tuple[str, str, bool], float] = defaultdict(float)
        for event_id, label in labels.items():
            if event_id not in self._acted:
                continue
            kind, names = self._acted[event_id]
            weight = 1.0
            if kind in weighing:
                weight = 1 / label.chance if label.chance else 0.0
            for name in names:
                said[name, kind, label.is_spam] += weight
        return {
            name: {
                kind: Labelled(events, said[name, kind, False], said[name, kind, True])
                for kind, events in counts.items()
            }
            for name, counts in self._events.items()
        }

    def _has(self, name: str) -> bool:
        if name not in self._events and len(self._events) < MAXIMUM_SLICES:
            self._events[name] = Counter()
        return name in self._events


class PairedEvents:
    """Events that both models decided, each once, whoever came first."""

    def __init__(self) -> None:
        self._counts = SliceCounts()
        self._waiting: dict[str, tuple[Side, bool]] = {}
        self._settled: set[str] = set()

    def take(self, side: Side, event_id: str, acted: bool, slices: tuple[str, ...]) -> None:
        if event_id in self._settled:
            return
        first = self._waiting.get(event_id)
        if first is None:
            if len(self._settled) + len(self._waiting) < MAXIMUM_EVENTS:
                self._waiting[event_id] = side, acted
        elif first[0] != side:
            del self._waiting[event_id]
            self._settled.add(event_id)
            by_canary, by_reference = (acted, first[1]) if side == "canary" else (first[1], acted)
            self._counts.add(event_id, _KINDS[by_canary, by_reference], slices)

    def slices(self, labels: Mapping[str, LateLabel]) -> dict[str, PairedSlice]:
        """Disputed events count with any label, those both act on with drawn ones."""
        found = self._counts.labelled(labels, weighing=frozenset({"both"}))
        none = Labelled()
        return {
            name: PairedSlice(
                self._counts.events(name),
                kinds.get("only_canary", none),
                kinds.get("only_reference", none),
                kinds.get("both", none),
            )
            for name, kinds in found.items()
        }


class ArmEvents:
    """Events that one live arm decided."""

    def __init__(self) -> None:
        self._counts = SliceCounts()
        self._known: set[str] = set()

    def take(self, event_id: str, acted: bool, slices: tuple[str, ...]) -> None:
        if event_id not in self._known and len(self._known) < MAXIMUM_EVENTS:
            self._known.add(event_id)
            self._counts.add(event_id, "acted" if acted else "neither", slices)

    def slices(self, labels: Mapping[str, LateLabel]) -> dict[str, ArmSlice]:
        """Only labels drawn by chance count: what is chosen for review depends on the model."""
        drawn = {one: label for one, label in labels.items() if label.chance is not None}
        found = self._counts.labelled(drawn, weighing=frozenset())
        return dict(self._arm_slices(found))

    def _arm_slices(
        self, found: Mapping[str, Mapping[str, Labelled]]
    ) -> Iterator[tuple[str, ArmSlice]]:
        for name, kinds in found.items():
            yield name, ArmSlice(self._counts.events(name), kinds.get("acted", Labelled()))
