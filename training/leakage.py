"""Refuse a poisoned contract: a feature that is the label under another name.

Kaufman et al. 2012, "Leakage in Data Mining" (ACM TKDD 6).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence

from data_contracts.errors import BadInput
from data_contracts.labels import LabelledEvent

NEAR_PERFECT = 0.98
FEWEST_ROWS = 10
MOST_VALUES_SHARE = 0.2
_LABEL_NAME = re.compile(
    r"^(?:is|was|has|true|gold|y)?[_-]?(?:labels?|spam|ham|ground[_-]?truth|truth|class)"
    r"(?:[_-]?(?:label|class|flag|name|id|score|true|truth|spam|ham))?$|^y$|^(?:y_)?target_?label$",
    re.I,
)


def refuse_label_leaks(rows: Sequence[LabelledEvent], where: str) -> None:
    """BadInput that names the field where a context entry or the account gives the label away."""
    keys = sorted({key for row in rows for key in row.event.context})
    for key in keys:
        if _LABEL_NAME.match(key):
            raise _refusal(where, f"context.{key}", "is named like the label")
    fields: dict[str, list[object]] = {
        f"context.{key}": [row.event.context.get(key) for row in rows] for key in keys
    }
    fields["account"] = [row.event.account for row in rows]
    labels = [row.is_spam for row in rows]
    for field, values in fields.items():
        if _gives_away(values, labels):
            raise _refusal(where, field, "tells spam from ham (nearly) without error")


def is_named_like_label(field: str) -> bool:
    """Whether a field's name says that it is the label.

    >>> [is_named_like_label(name) for name in ("is_spam", "label", "target_video", "classroom")]
    [True, True, False, False]
    """
    return bool(_LABEL_NAME.match(field))


def _gives_away(values: Sequence[object], labels: Sequence[bool]) -> bool:
    """Whether a few values, or one cut through numbers, tell the labels apart."""
    majority = max(Counter(labels).values(), default=0)
    rows = len(labels)
    if rows < FEWEST_ROWS or majority == rows or all(value is None for value in values):
        return False
    errors = min(_errors_by_value(values, labels), _errors_by_cut(values, labels))
    return errors <= (1 - NEAR_PERFECT) * (rows - majority)


def _errors_by_value(values: Sequence[object], labels: Sequence[bool]) -> int:
    counts: dict[Hashable, Counter[bool]] = defaultdict(Counter)
    for value, label in zip(values, labels, strict=True):
        counts[str(value).strip().lower()][label] += 1
    if len(counts) > max(2, MOST_VALUES_SHARE * len(labels)):
        return len(labels)  # an identifier: it can be learnt by heart, but tells nothing
    return sum(sum(count.values()) - max(count.values()) for count in counts.values())


def _errors_by_cut(values: Sequence[object], labels: Sequence[bool]) -> int:
    """Errors of the best single cut, where every value is a number; missing ones count as wrong."""
    known = sorted(
        (float(value), label)
        for value, label in zip(values, labels, strict=True)
        if isinstance(value, bool | int | float)
    )
    missing = len(labels) - len(known)
    spam_below, spam = 0, sum(label for _, label in known)
    best = len(labels)
    for below, (value, label) in enumerate(known, 1):
        spam_below += label
        if below < len(known) and known[below][0] == value:
            continue
        ham_above = (len(known) - below) - (spam - spam_below)
        wrong = spam_below + ham_above
        best = min(best, wrong, len(known) - wrong)
    return best + missing


def _refusal(where: str, field: str, problem: str) -> BadInput:
    return BadInput(
        f"{where}: {field} {problem}: the label stands among the features, and a model trained "
        f"on it would learn nothing else; remove {field} from the events"
    )
