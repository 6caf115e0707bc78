"""Functions over characters, pixels and small tables, compiled to machine code: the door to numba.

They are compiled for the types that they name when their module is imported, so that no request
waits for a compiler, and kept in numba's cache: beside the source, else in the user's cache folder
or where NUMBA_CACHE_DIR says. They release Python's lock while they run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

_LOG = logging.getLogger(__name__)
Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(*signatures: str) -> Callable[[Function], Function]:
    """Compile for each signature, as numba writes it; without one, for whichever kernel calls it.

    Arithmetic keeps the order that is written: a sum has the same bits on every machine.
    """

    def compiled(function: Function) -> Function:
        settings = {"nogil": True, "error_model": "numpy"}
        types = list(signatures) or None
        try:
            kept: Function = njit(types, cache=True, **settings)(function)
        except (OSError, RuntimeError) as error:
            _LOG.warning(
                "%s is compiled at every start: numba's cache cannot be written (%s); "
                "set NUMBA_CACHE_DIR to a folder that can",
                function.__name__, error,
            )  # fmt: skip
            kept = njit(types, **settings)(function)
        return kept

    return compiled
