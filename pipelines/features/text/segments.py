"""The kind of a text by script, length and declared language: each kind has its own thresholds."""

from __future__ import annotations

from math import log1p

import numpy as np
from numpy.typing import NDArray

from pipelines.features.text.lexical import NAMES

LONG_CHARACTERS = 600
_LENGTH = NAMES.index("length_log")
_SCRIPTS = {
    "han": ("han_share", "kana_share"),
    "cyrillic": ("cyrillic_share",),
    "arabic": ("arabic_share",),
    "devanagari": ("devanagari_share",),
}
_COLUMNS = {script: [NAMES.index(name) for name in names] for script, names in _SCRIPTS.items()}
_DOMINANT_SHARE = 0.2


def segment_of(lexical: NDArray[np.float32], language: str | None = None) -> str:
    """For example `latin-short`, or `latin-short/tr` for an event that declares its language.

    Script and length come from the lexical features of the text; of `language`, a BCP 47 tag,
    the first part counts.
    """
    script = next(
        (
            script
            for script, columns in _COLUMNS.items()
            if float(lexical[columns].sum()) >= _DOMINANT_SHARE
        ),
        "latin",
    )
    is_long = float(lexical[_LENGTH]) >= log1p(LONG_CHARACTERS)
    segment = f"{script}-{'long' if is_long else 'short'}"
    return f"{segment}/{language.partition('-')[0].lower()}" if language else segment


def without_language(segment: str) -> str:
    """
    >>> without_language("latin-short/tr")
    'latin-short'
    """
    return segment.partition("/")[0]
