"""Stands in for the platform's Python: echoes its arguments, and answers as a plan file says.

`$WEIR_HOME/plan.json`: {verb: {"code": 0, "result": {…}, "say": [line, …], "sleep_seconds": 0}}.
Every call is one line in `$WEIR_HOME/calls.jsonl`. With "fails_first": n, the code is for the
first n calls of the verb, and the next ones end with 0.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

USUAL_RESULTS = {
    "ingest": {"days": ["2026-01-05"], "events": 600, "quarantined": 2},
    "train": {"model": "/models/m1", "run_id": "r1", "trials": 4, "value": None},
    "register": {"model": "spam", "version": "3", "uri": "models:/spam/3"},
    "card": {"card": "/reports/model_card.html", "gates": "passed"},
    "promote": {"version": "3", "promoted": True},
    "approval": {"version": "3", "approved": True, "approved_by": "reviewer"},
}


def main(arguments: list[str]) -> int:
    home = Path(os.environ["WEIR_HOME"])
    _, folder, verb, *options = arguments
    with (home / "calls.jsonl").open("a") as calls:
        calls.write(json.dumps({"arguments": arguments, "environment": dict(os.environ)}) + "\n")
    plan_file = home / "plan.json"
    plan = json.loads(plan_file.read_text()).get(verb, {}) if plan_file.is_file() else {}
    for line in plan.get("say", [f"{folder} {verb}: working"]):
        print(line, flush=True)
    time.sleep(plan.get("sleep_seconds", 0))
    result = next(item.partition("=")[2] for item in options if item.startswith("--result="))
    suite = next((item.partition("=")[2] for item in options if item.startswith("--suite=")), "")
    usual = (
        {"gate": suite, "report": f"/reports/{suite}.json"} if suite else USUAL_RESULTS.get(verb)
    )
    code = plan.get("code", 0) if _calls(home, verb) <= plan.get("fails_first", 1e9) else 0
    if code == 0:
        Path(result).write_text(json.dumps({**(usual or {}), **plan.get("result", {})}))
    return int(code)


def _calls(home: Path, verb: str) -> int:
    """How often the verb was called, this call included."""
    calls = (home / "calls.jsonl").read_text().splitlines()
    return sum(json.loads(call)["arguments"][2] == verb for call in calls)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
