"""The real model server with one stage that hangs while a file is there.

`hung_stage STAGE FILE serve --model DIR …`: everything after FILE goes to `python -m serving`. The
stage's extractor waits for the file to go, as one does whose network or decoder never answers.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path

from data_contracts.command_line import main
from data_contracts.events import Event
from pipelines.features.base import Extractor, Features
from serving.__main__ import VERBS
from training import stage_sources

LOOK_SECONDS = 0.05


def hang(stage: str, file: Path) -> None:
    """From now on, this stage's extractors hang while `file` is there."""
    made = stage_sources.StageSources.extractor

    def extractor(
        self: stage_sources.StageSources, name: str, files: Mapping[str, Path]
    ) -> Extractor:
        found = made(self, name, files)
        if name == stage:
            extract = found.extract

            def hanging(event: Event) -> Features:
                while file.exists():
                    time.sleep(LOOK_SECONDS)
                return extract(event)

            found.extract = hanging  # type: ignore[method-assign]
        return found

    stage_sources.StageSources.extractor = extractor  # type: ignore[method-assign]


if __name__ == "__main__":
    _, stage, file, *arguments = sys.argv
    sys.argv = ["serving", *arguments]
    hang(stage, Path(file))
    sys.exit(main("serving", "Acts on live traffic.", VERBS))
