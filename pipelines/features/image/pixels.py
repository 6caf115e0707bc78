"""Figures over the pixels of a picture, compiled: one walk where NumPy would take thirty.

Sums are taken in float64, about the first pixel's value, so that an even picture deviates by 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.kernels import kernel

DIRECTIONS = 8
STRONG_STEP = 40.0  # grey levels between neighbours that make an edge
GREYS = 64  # bins of brightness
COMMONEST = 10  # colours whose share is told
WHITE, BLACK, GREYISH = 240, 16, 8

Pixels = NDArray[np.uint8]
Grey = NDArray[np.float32]
Floats = NDArray[np.float64]


@kernel()
def _put(found: Floats, at: int, total: float, squares: float, count: int, base: float) -> None:
    """Mean and deviation from sums about `base`."""
    away = total / count
    found[at] = base + away
    found[at + 1] = np.sqrt(max(squares / count - away * away, 0.0))


@kernel("float32[:, ::1](uint8[:, :, ::1])")
def brightness(rgb: Pixels) -> Grey:
    """float32[h, w], 0 to 255 (ITU-R BT.601)."""
    grey = np.empty((rgb.shape[0], rgb.shape[1]), np.float32)
    red, green, blue = np.float32(0.299), np.float32(0.587), np.float32(0.114)
    for row in range(grey.shape[0]):
        for at in range(grey.shape[1]):
            pixel = rgb[row, at]
            grey[row, at] = (
                red * np.float32(pixel[0])
                + green * np.float32(pixel[1])
                + blue * np.float32(pixel[2])
            )
    return grey


@kernel()
def _channel(rgb: Pixels, channel: int, found: Floats) -> None:
    base, total, squares = int(rgb[0, 0, channel]), 0, 0
    for row in range(rgb.shape[0]):
        for at in range(rgb.shape[1]):
            away = int(rgb[row, at, channel]) - base
            total += away
            squares += away * away
    _put(found, 2 * channel, float(total), float(squares), rgb.shape[0] * rgb.shape[1], float(base))


@kernel()
def _saturation(pixel: Pixels) -> tuple[int, int, float]:
    """The lowest and the highest channel, and how far they are apart."""
    red, green, blue = int(pixel[0]), int(pixel[1]), int(pixel[2])
    low, high = min(red, green, blue), max(red, green, blue)
    return low, high, (high - low) / max(high, 1)


@kernel()
def _saturations(rgb: Pixels, found: Floats) -> None:
    """Saturation's mean and deviation, the share of grey; of white and of black at the end."""
    base, total, squares = _saturation(rgb[0, 0])[2], 0.0, 0.0
    greyish, white, black, count = 0, 0, 0, rgb.shape[0] * rgb.shape[1]
    for row in range(rgb.shape[0]):
        for at in range(rgb.shape[1]):
            low, high, saturation = _saturation(rgb[row, at])
            total += saturation - base
            squares += (saturation - base) ** 2
            greyish += high - low < GREYISH
            white += low > WHITE
            black += high < BLACK
    _put(found, 6, total, squares, count, base)
    found[8] = greyish / count
    found[-2], found[-1] = white / count, black / count


@kernel()
def _entropy(counts: NDArray[np.int64], total: int) -> float:
    """Bits a value."""
    bits = 0.0
    for count in counts:
        if count:
            bits -= count / total * np.log2(count / total)
    return bits


@kernel()
def _greys(grey: Grey, found: Floats) -> None:
    """Brightness's mean, deviation and entropy."""
    counts = np.zeros(GREYS, np.int64)
    base, total, squares = float(grey[0, 0]), 0.0, 0.0
    for row in range(grey.shape[0]):
        for at in range(grey.shape[1]):
            away = grey[row, at] - base
            total += away
            squares += away * away
            counts[min(int(grey[row, at]) * GREYS // 256, GREYS - 1)] += 1
    _put(found, 9, total, squares, grey.size, base)
    found[11] = _entropy(counts, grey.size)


@kernel()
def _palette(rgb: Pixels, found: Floats) -> None:
    """How many colours there are, exactly, and how much the commonest cover."""
    count, size, bits = rgb.shape[0] * rgb.shape[1], 2, 1
    while size < 2 * count:
        size, bits = 2 * size, bits + 1
    colours, counts = np.zeros(size, np.uint32), np.zeros(size, np.int32)
    last, slot, different = np.uint32(0), np.int64(0), 0
    for row in range(rgb.shape[0]):
        for at in range(rgb.shape[1]):
            pixel = rgb[row, at]
            colour = np.uint32(
                1 + (np.uint32(pixel[0]) << 16 | np.uint32(pixel[1]) << 8 | np.uint32(pixel[2]))
            )
            if colour != last:
                last = colour
                slot = np.int64(np.uint32(colour * np.uint32(0x9E3779B1)) >> (32 - bits))
                while colours[slot] != 0 and colours[slot] != colour:
                    slot = (slot + 1) & (size - 1)
                different += colours[slot] == 0
                colours[slot] = colour
            counts[slot] += 1
    commonest = np.zeros(COMMONEST, np.int64)
    for at in range(size):
        if counts[at] > commonest[-1]:
            _insert(commonest, counts[at])
    found[12], found[13] = np.log1p(float(different)), different / count
    found[14], found[15] = commonest[0] / count, commonest.sum() / count


@kernel()
def _insert(falling: NDArray[np.int64], value: int) -> None:
    """Puts a value into its place; the least is lost."""
    at = len(falling) - 1
    while at > 0 and falling[at - 1] < value:
        falling[at] = falling[at - 1]
        at -= 1
    falling[at] = value


@kernel("float64[::1](uint8[:, :, ::1], float32[:, ::1])")
def colour(rgb: Pixels, grey: Grey) -> Floats:
    """float64[18], in the order of COLOUR_NAMES."""
    found = np.zeros(18)
    for channel in range(3):
        _channel(rgb, channel, found)
    _saturations(rgb, found)
    _greys(grey, found)
    _palette(rgb, found)
    return found


@kernel()
def _is_flat(rgb: Pixels, row: int, at: int) -> bool:
    """Whether a pixel is its right and its lower neighbour's equal."""
    for channel in range(3):
        value = rgb[row, at, channel]
        if value != rgb[row, at + 1, channel] or value != rgb[row + 1, at, channel]:
            return False
    return True


@kernel()
def _sector(across: float, down: float) -> int:
    """Which of DIRECTIONS half-turn sectors; the first is centred on 0."""
    angle = np.arctan2(down, across) + np.pi / (2 * DIRECTIONS)
    return int(np.floor((angle % np.pi) * DIRECTIONS / np.pi)) % DIRECTIONS


@kernel()
def _noise(grey: Grey) -> float:
    """The mean size of the second differences along the rows."""
    total = 0.0
    for row in range(grey.shape[0]):
        for at in range(1, grey.shape[1] - 1):
            bend = grey[row, at + 1] - grey[row, at] - (grey[row, at] - grey[row, at - 1])
            total += abs(bend)
    return float(total / (grey.shape[0] * (grey.shape[1] - 2)))


@kernel("float64[::1](uint8[:, :, ::1], float32[:, ::1])")
def texture(rgb: Pixels, grey: Grey) -> Floats:
    """float64[7 + DIRECTIONS], in the order of TEXTURE_NAMES; at least three pixels a side."""
    found, sectors = np.zeros(7 + DIRECTIONS), np.zeros(DIRECTIONS, np.int64)
    height, width = grey.shape[0] - 1, grey.shape[1] - 1
    strong, flat, sharp, total, squares = 0, 0, 0, 0.0, 0.0
    for row in range(height):
        for at in range(width):
            across = grey[row, at + 1] - grey[row, at]
            down = grey[row + 1, at] - grey[row, at]
            square = float(across) * across + float(down) * down
            sharp += abs(across) > STRONG_STEP
            if square == 0.0:
                flat += _is_flat(rgb, row, at)
                continue
            total += np.sqrt(square)
            squares += square
            if square > STRONG_STEP * STRONG_STEP:
                strong += 1
                sectors[_sector(across, down)] += 1
    count = height * width
    found[0], found[3], found[6] = strong / count, flat / count, sharp / height
    _put(found, 1, total, squares, count, 0.0)
    found[4] = _noise(grey)
    for direction in range(DIRECTIONS):
        found[7 + direction] = sectors[direction] / max(strong, 1)
    found[5] = found[7] + found[7 + DIRECTIONS // 2]
    return found
