"""The packets of a video stream in the order of decoding, and which of them to decode."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import av.error
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

MAX_PACKETS = 100_000


@dataclass(frozen=True)
class Timeline:
    """`ticks[i]` is when packet i is shown, `is_key[i]` whether it is decoded on its own.

    `is_cut`: there are later packets that were not read; `is_broken`: reading ended in an error,
    or before as many packets as the header declares.
    """

    packets: Sequence[Packet[VideoStream]]
    ticks: Sequence[int]
    is_key: Sequence[bool]
    seconds_per_tick: float
    is_cut: bool = False
    is_broken: bool = False

    @cached_property
    def shown(self) -> list[int]:
        """Packet positions in the order in which they are shown."""
        return sorted(range(len(self.ticks)), key=self.ticks.__getitem__)

    @property
    def seconds(self) -> float:
        """From the first frame to the end of the last."""
        last = self.shown[-1]
        end = self.ticks[last] + max(0, self.packets[last].duration or 0)
        return (end - self.ticks[self.shown[0]]) * self.seconds_per_tick

    def seconds_at(self, tick: int) -> float:
        return (tick - self.ticks[self.shown[0]]) * self.seconds_per_tick

    def evenly(self, count: int) -> list[int]:
        """At most `count` packet positions, spread evenly in time from the first to the last."""
        if len(self.shown) <= count:
            return self.shown
        times = [self.ticks[position] for position in self.shown]
        first, span, gaps = times[0], times[-1] - times[0], max(1, count - 1)
        places = {bisect_right(times, first + span * mark // gaps) - 1 for mark in range(count)}
        return [self.shown[place] for place in sorted(places)]

    def key_before(self, position: int) -> int:
        """Where decoding has to start for a packet: key frames shown later do not help it."""
        place = bisect_right(self._keys, position) - 1
        while place >= 0 and self.ticks[self._keys[place]] > self.ticks[position]:
            place -= 1
        return self._keys[place] if place >= 0 else 0

    def decoded(self, wanted: Sequence[int]) -> int:
        """How many packets have to be decoded for the wanted ones, taken in order."""
        total = reached = 0
        for position in wanted:
            start = max(reached, self.key_before(position))
            total += max(0, position + 1 - start)
            reached = max(reached, position + 1)
        return total

    def within(self, wanted: list[int], decoded: int) -> list[int]:
        """The wanted packets, or the key frames before them where that takes too long.

        Where too few key frames are left, the wanted ones stand: better cut than blind.
        """
        if self.decoded(wanted) <= decoded:
            return wanted
        keys = list(dict.fromkeys(self.key_before(position) for position in wanted))
        return keys if 2 * len(keys) >= len(wanted) else wanted

    @cached_property
    def _keys(self) -> list[int]:
        return [position for position, is_key in enumerate(self.is_key) if is_key]


def read_timeline(container: InputContainer, stream: VideoStream, seconds: float) -> Timeline:
    """The packets of the first `seconds`, at most MAX_PACKETS."""
    packets: list[Packet[VideoStream]] = []
    ticks: list[int] = []
    is_cut, is_broken = False, False
    last = seconds / float(stream.time_base or 1)
    try:
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            tick = _tick(packet, ticks)
            if len(packets) == MAX_PACKETS or (ticks and tick - ticks[0] > last):
                is_cut = True
                break
            packets.append(packet)
            ticks.append(tick)
    except av.error.FFmpegError:
        is_broken = True
    is_broken = is_broken or (not is_cut and len(packets) < stream.frames)
    keys = [packet.is_keyframe for packet in packets]
    return Timeline(packets, ticks, keys, float(stream.time_base or 1), is_cut, is_broken)


def _tick(packet: Packet[VideoStream], before: Sequence[int]) -> int:
    for tick in (packet.pts, packet.dts):
        if tick is not None:
            return int(tick)
    return before[-1] + 1 if before else 0
