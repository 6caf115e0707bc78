"""The stage of meanings, as slow as a file says: milliseconds that every call takes longer.

Named in the configuration of the game day's model servers as the stage's extractor, so that a fault
is a file that appears, and whatever guards stages meets it as it would meet a slow network.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from data_contracts.events import Event
from pipelines.features.base import Features
from pipelines.features.text.meaning import MeaningExtractor

FILE = "WEIR_GAME_DAY_SLOW"


class SlowMeaning(MeaningExtractor):
    """What it extracts is what the stage it stands for extracts."""

    def extract(self, event: Event) -> Features:
        file = Path(os.environ.get(FILE, "/nonexistent"))
        if file.is_file():
            time.sleep(float(file.read_text()) / 1000)
        return super().extract(event)
