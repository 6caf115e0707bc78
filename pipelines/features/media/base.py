"""What decoding gives: pixels, or the reason why there are none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:  # the decoding process imports this module and needs neither of them
    import numpy as np
    from numpy.typing import NDArray

    from data_contracts.events import MediaReference


@dataclass(frozen=True)
class MediaLimits:
    """Bounds of decoding one file. What lies above them is not decoded, or cut and noted."""

    bytes: int = 33_554_432
    pixels: int = 40_000_000  # of one image or frame
    frames: int = 64  # sampled frames that are kept of a video or an animation
    video_seconds: float = 600.0  # later frames are not read
    frame_side: int = 512  # kept frames of videos are scaled down to this longer side
    image_side: int = 1600  # and images to this
    memory_bytes: int = 1_073_741_824  # address space above that of an idle worker
    timeout_seconds: float = 20.0


class DecodedImage(NamedTuple):
    """`rgb` uint8[h, w, 3]; `width` and `height` as stored; `notes` say what was cut or odd."""

    rgb: NDArray[np.uint8]
    width: int
    height: int
    format: str
    frames: int
    notes: tuple[str, ...] = ()


class DecodedVideo(NamedTuple):
    """`rgb` uint8[n, h, w, 3], evenly sampled; `times_seconds` float64[n] of each frame."""

    rgb: NDArray[np.uint8]
    times_seconds: NDArray[np.float64]
    duration_seconds: float
    frames_per_second: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unreadable:
    """A file that gave no pixels: `reason` is a reason code such as `image_truncated`."""

    reason: str


class MediaReader(Protocol):
    """Reads what an event refers to. Neither method raises for what the file holds."""

    def image(self, reference: MediaReference) -> DecodedImage | Unreadable:
        """The first frame of an image, upright, in RGB on white."""
        ...

    def video(self, reference: MediaReference) -> DecodedVideo | Unreadable:
        """Evenly sampled frames of a video."""
        ...

    def content(self, reference: MediaReference) -> bytes | Unreadable:
        """The file's bytes, undecoded, where they are there and within the bound."""
        ...
