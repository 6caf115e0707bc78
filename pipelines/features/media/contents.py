"""From a reference to the bytes of the file that it means, or the reason why there are none."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import stat
from pathlib import Path

from data_contracts.events import MediaReference
from pipelines.features.media.base import Unreadable


def content_of(
    reference: MediaReference, media_root: Path | None, at_most_bytes: int
) -> bytes | Unreadable:
    """The file's bytes, their sha256 checked; never raises for what the reference says."""
    if reference.bytes is not None:
        found = _inline(reference.bytes, at_most_bytes)
    else:
        found = _from_root(str(reference.path), media_root, at_most_bytes)
    if isinstance(found, Unreadable):
        return found
    if not found:
        return Unreadable("media_empty")
    if hashlib.sha256(found).hexdigest() != reference.sha256:
        return Unreadable("media_sha256_differs")
    return found


def _inline(encoded: str, at_most_bytes: int) -> bytes | Unreadable:
    if len(encoded) > 4 * (at_most_bytes // 3 + 1):
        return Unreadable("media_too_large")
    try:
        found = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return Unreadable("media_base64_broken")
    return found if len(found) <= at_most_bytes else Unreadable("media_too_large")


def _from_root(path: str, media_root: Path | None, at_most_bytes: int) -> bytes | Unreadable:
    """Links are followed first, so that none leads out of the media root."""
    if media_root is None:
        return Unreadable("media_root_unset")
    try:
        root = media_root.resolve()
        target = (root / path).resolve(strict=True)
        if not target.is_relative_to(root):
            return Unreadable("media_outside_root")
        return _read(target, at_most_bytes)
    except (OSError, ValueError, RuntimeError):  # absent, not ours to read, or no path at all
        return Unreadable("media_missing")


def _read(target: Path, at_most_bytes: int) -> bytes | Unreadable:
    """A regular file only: a pipe or a device might never end."""
    descriptor = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return Unreadable("media_missing")
        found = file.read(at_most_bytes + 1)
    return found if len(found) <= at_most_bytes else Unreadable("media_too_large")
