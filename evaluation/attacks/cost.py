"""What a disguise costs the attacker."""

from __future__ import annotations

from collections import Counter

from rapidfuzz.distance import Levenshtein

from data_contracts.events import Event


def edits(before: Event, after: Event) -> int:
    """Levenshtein edits of the text, and one for each medium and each context key that differs.

    Levenshtein 1966, "Binary codes capable of correcting deletions, insertions, and reversals".
    A medium that was replaced is one edit, and so is one that was added or left out. A device or
    an account has a price of its own, which this does not know: compare within a family.

    >>> edits(Event(event_id="e", text="cash"), Event(event_id="e", text="c4sh!"))
    2
    """
    text = Levenshtein.distance(before.text, after.text)
    old, new = (Counter(media.sha256 for media in event.media) for event in (before, after))
    media = max((old - new).total(), (new - old).total())
    keys = before.context.keys() | after.context.keys()
    absent = object()
    context = sum(before.context.get(k, absent) != after.context.get(k, absent) for k in keys)
    return text + media + context
