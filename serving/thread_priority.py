"""Which threads of a server go first when its core is short: answers that need no media.

A thread has a nice value of its own on Linux (setpriority(2), "C library/kernel differences").
A niced thread may hold the interpreter's lock while others wait for it; the stages that are niced
here spend their time outside of it, in networks and decoders.
"""

from __future__ import annotations

import os
import threading

MEDIA, AFTER_ANSWERS = 10, 19  # nice values; 0 for all else


def give_way(nice: int) -> None:
    """The calling thread, and what it starts, from now on."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
