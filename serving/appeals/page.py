"""The page on which a person appeals: one form, no script, nothing from elsewhere.

The platform's own page would post the same form with its user's token in it; here the token is a
field, so that the page works without the platform. It is sent in the body and never in an address.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from evaluation.monitoring.page import STYLE

FORM = """
label{display:block;margin:.8rem 0 .2rem}input,textarea{font:inherit;width:100%;
box-sizing:border-box;padding:.5rem;border:1px solid var(--line);border-radius:4px}
button{font:inherit;margin-top:1rem;padding:.5rem 1.2rem}
td,th{text-align:left;white-space:normal;overflow-wrap:anywhere;vertical-align:top}
p.refused{border-left:4px solid var(--bad);background:var(--soft);padding:.6rem 1rem}
"""
STATES = {
    "submitted": "Your appeal waits for a person.",
    "under_review": "A person is looking at it.",
    "upheld": "A person decided that the action was right.",
    "overturned": "A person, or a newer model, decided that the action was wrong. It is undone.",
    "withdrawn": "You took the appeal back.",
}


def page(given: Mapping[str, str], answer: tuple[int, Mapping[str, Any]] | None) -> str:
    """HTML of the form with what was `given`, and of the answer (status, what it says)."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width,initial-scale=1'>",
        f"<title>Appeal</title><style>{STYLE}{FORM}</style>",
        "<h1>Was something of yours wrongly limited or blocked?</h1>",
        "<p class=window>A person will look at it.",
    ]
    if answer is not None:
        parts.append(_answer(*answer))
    if answer is None or "error" in answer[1]:
        parts.append(_form(given))
    return "\n".join(parts) + "\n"


def _answer(status: int, said: Mapping[str, Any]) -> str:
    if "error" in said:
        return f"<p class=refused role=alert>{escape(str(said['error']))}"
    known = "" if status == 201 else " You appealed before; this is where it stands."
    rows = [
        ("Appeal", said["appeal"]),
        ("Event", said["event_id"]),
        ("What was done", said["action"]),
        ("Because of", ", ".join(said["reasons"]) or "no reason was given"),
        ("Answer due", said["due_at"][:16].replace("T", " ") + " UTC"),
        *([("Why", said["why"])] if said["why"] else []),
    ]
    table = "".join(f"<tr><th>{escape(name)}<td>{escape(str(one))}" for name, one in rows)
    return (
        f"<p class=calm role=status>{escape(STATES[said['state']])}{known}"
        f"<div class=scroll><table>{table}</table></div>"
    )


def _form(given: Mapping[str, str]) -> str:
    event_id, statement = (escape(given.get(name, ""), quote=True) for name in
                           ("event_id", "statement"))  # fmt: skip
    return f"""<form method=post action="/">
<label for=event_id>Which post, message or comment (its id)</label>
<input id=event_id name=event_id maxlength=128 required value="{event_id}">
<label for=statement>What should the person who decides know?</label>
<textarea id=statement name=statement rows=6 required>{statement}</textarea>
<label for=token>Your proof from the platform</label>
<input id=token name=token type=password autocomplete=off required>
<button>Appeal</button></form>"""
