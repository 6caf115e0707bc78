"""One BLAS thread for many small fits.

How BLAS divides its sums shows in their last bits, and on busy cores its threads wait for each
other: eighty fits of a probe took 19 s on two threads and half a second on one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]


@contextmanager
def single_thread() -> Iterator[None]:
    """Loads scikit-learn first, since only libraries that are loaded can be limited."""
    import sklearn.linear_model  # noqa: F401

    with threadpool_limits(1):
        yield
