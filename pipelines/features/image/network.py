"""The one door to image networks: an ONNX file with one input and one output, on one thread."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


class ImageNetwork:
    """Loaded at its first picture. One picture at a time, so that no neighbour can matter."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def answer(self, picture: NDArray[np.generic]) -> NDArray[np.float32]:
        """The network's output for one picture, without the axis of the batch."""
        session, name = self._session
        found: NDArray[np.float32] = session.run(None, {name: picture[None]})[0][0]
        return found

    @property
    def side(self) -> int:
        """Of the square that a network of uint8[n, side, side, 3] reads."""
        session, _ = self._session
        return int(session.get_inputs()[0].shape[1])

    @cached_property
    def _session(self) -> tuple[Any, str]:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            str(self.path), options, providers=["CPUExecutionProvider"]
        )
        return session, session.get_inputs()[0].name


def resized(rgb: Pixels, width: int, height: int) -> Pixels:
    """uint8[height, width, 3], bilinear over the area that a pixel comes from."""
    from PIL import Image

    size = (width, height)
    scaled = Image.fromarray(rgb).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(scaled, np.uint8)


class ImageEncoder:
    """EfficientNet-Lite0 without its classes (asset `efficientnet-lite0`).

    The whole picture is squeezed into a square, not cropped: adverts write up to the edge.
    """

    def __init__(self, path: Path) -> None:
        self._network = ImageNetwork(path)

    def encode(self, rgb: Pixels) -> NDArray[np.float32]:
        """float32[1280] for uint8[h, w, 3]."""
        side = self._network.side
        return self._network.answer(resized(rgb, side, side))
