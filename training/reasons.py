"""Reason codes of an assessment: what an operator or an appeal can be told."""

from __future__ import annotations

from data_contracts.verdicts import Action
from pipelines.features.text.extraction import CHEAP_NAMES, CheapFeatures

_COUNTED = {
    "contains_links": ("links",),
    "contains_phone_number": ("phones",),
    "mentions_money": ("amounts",),
    "disguised_text": ("repaired_words", "invisibles", "mixed_script"),
}
_COLUMNS = {
    reason: [CHEAP_NAMES.index(name) for name in names] for reason, names in _COUNTED.items()
}


def reasons_for(
    action: Action, cheap: CheapFeatures, *, ngrams: float, content: float, unlike: bool
) -> tuple[str, ...]:
    """Codes from the strongest signals; `unlike_training` also stands with an allow."""
    reasons = ["unlike_training"] if unlike else []
    if action == "allow":
        return tuple(reasons)
    if ngrams > 0:
        reasons.append("wording_of_spam")
    if content > 0:
        reasons.append("meaning_of_spam")
    reasons += [name for name, at in _COLUMNS.items() if float(cheap.lexical[at].sum()) > 0]
    return tuple(reasons) or ("combined_signals",)
