"""Made-up sources for machines without any dataset: texts, pictures and profiles, all seeded."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from data_contracts.labels import LabelledEvent
from pipelines.simulation.synthetic import synthetic_events

SEED = 20_260_105
SIZE = (320, 240)  # width, height in pixels


def texts(count: int) -> list[LabelledEvent]:
    """Messages of the synthetic generator."""
    return synthetic_events(count, SEED)


def picture(number: int, is_spam: bool) -> bytes:
    """A JPEG file: a landscape of gradient, sun and hills, or loud stripes with a price."""
    from PIL import Image, ImageDraw, ImageFont

    rng = np.random.default_rng((SEED, number, is_spam))
    sky, ground = (tuple(int(value) for value in rng.integers(0, 256, 3)) for _ in range(2))
    image = Image.new("RGB", SIZE, sky)
    draw = ImageDraw.Draw(image)
    if is_spam:
        for left in range(0, SIZE[0], 40):
            draw.rectangle((left, 0, left + 20, SIZE[1]), fill=ground)
        price = f"${rng.integers(5, 99)} PILLS"
        draw.text((30, 90), price, fill=(255, 255, 0), font=ImageFont.load_default(36))
    else:
        x, y, radius = rng.integers(30, 290), rng.integers(20, 100), rng.integers(10, 40)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(250, 230, 120))
        hills = [(x, int(150 + rng.integers(0, 60))) for x in range(0, SIZE[0] + 40, 40)]
        draw.polygon([(0, SIZE[1]), *hills, (SIZE[0], SIZE[1])], fill=ground)
    content = io.BytesIO()
    image.save(content, "JPEG", quality=85)
    return content.getvalue()


def profile(kind: str, number: int) -> dict[str, Any]:
    """The fields of a `Profile` up to its bucket, from log-normal draws."""
    rng = np.random.default_rng((SEED, number, len(kind)))
    size = {"person": 300, "newcomer": 40, "publisher": 100_000}[kind]
    return {
        "kind": kind,
        "age_days": float(rng.uniform(200, 3000)),
        "followers": int(size * rng.lognormal(0, 0.8)),
        "following": int(400 * rng.lognormal(0, 0.8)),
        "posts": int(size * rng.lognormal(-1, 1)),
        "has_avatar": bool(rng.random() < (0.7 if kind == "newcomer" else 0.97)),
        "bio_length": int(rng.integers(0, 150)),
    }
