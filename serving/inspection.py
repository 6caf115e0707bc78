"""The verb `inspect`: one event's way through the cascade, for people."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data_contracts.config import Settings
from data_contracts.errors import BadInput
from data_contracts.files import write_atomically
from data_contracts.verdicts import fitted_thresholds
from serving.event_trace import Trace, trace
from serving.inspection_page import as_page
from serving.inspection_table import as_text
from serving.inspection_view import Levels, headline

TEXT = "text"


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any] | None:
    """Print the way of `event_id`; a page with `--html`, data with `--result`."""
    found = trace(arguments.event_id, settings, with_text=arguments.show_text)
    costs = expected_milliseconds(settings)
    levels = _levels(arguments.model, settings, found) if arguments.model else {}
    sys.stdout.write(as_text(found, costs, levels))
    if arguments.html is not None:
        _write_page(arguments.html, as_page(found, costs, levels))
    return _result(found) if arguments.result is not None else None


def expected_milliseconds(settings: Settings) -> dict[str, float]:
    """CPU milliseconds of each stage as configured; cheap ones that nobody declares are absent."""
    from training.fused_policy import TEXT_MILLISECONDS

    stages = settings.ensemble.stages.items()
    return {TEXT: TEXT_MILLISECONDS, **{name: stage.cpu_milliseconds for name, stage in stages}}


def _write_page(path: Path, page: str) -> None:
    try:
        write_atomically(path, page.encode())
    except OSError as error:
        raise BadInput(
            f"--html {path}: {error.strerror}; give a file that can be written"
        ) from None
    print(f"inspect: wrote {path}", file=sys.stderr, flush=True)


def _levels(model: str, settings: Settings, found: Trace) -> dict[str, Levels]:
    """The thresholds of `model`. BadInput where they decided none of the verdicts."""
    from serving.artefact import load_cascade
    from training.ensemble import Ensemble

    cascade = load_cascade(model, settings)
    versions = {fitted_thresholds(one.verdict.threshold_version) for one in found.passages}
    if cascade.threshold_version not in versions:
        raise BadInput(
            f"--model {model} has {cascade.threshold_version}, the verdicts were decided by "
            f"{', '.join(sorted(versions))}; name a model that decided one of them"
        )
    if not isinstance(cascade.assessor, Ensemble):
        return {}
    parts = cascade.assessor.parts
    levels: dict[str, Levels] = {"thresholds of text": parts.policy.thresholds.levels}
    if parts.fused is not None:
        levels["thresholds of more than text"] = parts.fused.policy.thresholds.levels
    return levels


def _result(found: Trace) -> dict[str, Any]:
    standing = found.standing
    return {
        "event_id": found.event_id,
        "headline": headline(found),
        "standing": asdict(standing) if standing else None,
        "event": asdict(found.event) if found.event else None,
        "passages": [asdict(one) for one in found.passages],
    }
