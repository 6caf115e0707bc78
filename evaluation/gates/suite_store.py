"""`python -m evaluation suite add|show`: the golden suite grows, and says what it holds."""

from __future__ import annotations

import argparse
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from data_contracts.config import Settings
from data_contracts.errors import BadInput
from evaluation.gates.suite import golden_cases
from pipelines.golden_cases import FOLDER, Provenance, add_cases, read_cases, read_given

NEEDED = ("cases", "kind", "source", "reference", "by", "reason")
SHOWN = ("kind", "language", "modality", "family", "source")


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Add the cases of a file, or count those that there are."""
    return _add(arguments, settings) if arguments.action == "add" else show(settings)


def show(settings: Settings) -> dict[str, Any]:
    """How many cases there are of each kind, language, modality, family and source."""
    cases = golden_cases(settings.lake)
    counts: Counter[tuple[str, ...]] = Counter(
        tuple(case.value(by) or "" for by in SHOWN) for case in cases
    )
    return {
        "folder": str(settings.lake / FOLDER),
        "cases": len(cases),
        "table": [
            {**dict(zip(SHOWN, values, strict=True)), "cases": count}
            for values, count in sorted(counts.items())
        ],
    }


def _add(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    for name in NEEDED:
        if getattr(arguments, name) is None:
            raise BadInput(f"suite add needs --{name}: a case has its answer and where it is from")
    provenance = Provenance(
        arguments.source, arguments.reference, arguments.by, datetime.now(UTC), arguments.reason
    )
    given = read_given(arguments.cases, arguments.kind, provenance)
    added = add_cases(settings.lake, given)
    return {
        "added": len(added),
        "known_before": len(given) - len(added),
        "cases": len(read_cases(settings.lake)),
        "next": "python -m pipelines version, then train again: rows like these are left out",
    }
