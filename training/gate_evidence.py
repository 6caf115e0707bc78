"""What a version's tags say about its gates, and the one hash that stands for all of it.

An approval is worth only as much as the evidence it was given on, so the hash covers exactly
this version (its number, creation, source and artefact) and every gate's verdict and report.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import orjson

from training.registry.artefact import ARTEFACT_TAG
from training.registry.versions import ModelVersion

APPROVAL_TAG = "weir.approval"
APPROVED = "approved"
ENSEMBLE_TAG = "weir.ensemble"
GATE_TAG = "weir.gate."
WAIVER_TAG = "weir.waiver."
GATES_TAG = "weir.gates"
EVIDENCE_TAG = "weir.evidence"
WAIVED = "waived"
ENOUGH = frozenset({"pass", WAIVED})

# The audit trail's words about a version.
APPROVAL_PREFIX = "approval "
APPROVAL_SET = "approval set: "
APPROVAL_DELETED = "approval deleted"
GATES_RECORDED = "gates: "
WAIVER_RECORDED = "waiver: "
ROLLOUT_PREFIX = "rollout: "
# Who trained it: what MLflow's server saw, with the version, its run or its model as the subject.
VERSION_CREATED = "version created"
RUN_CREATED = "run created"
MODEL_LOGGED = "model logged"
TRAINING_TRIGGERED = "training triggered"
TRIGGERED_BY_TAG = "weir.triggered_by"


def run_subject(run_id: str) -> str:
    """How the audit trail names a run."""
    return f"runs:/{run_id}"


def gate_verdicts(tags: Mapping[str, str]) -> dict[str, str]:
    """Gate to verdict (`pass`, `waived`, `fail`, `not_enough_evidence`), from the version's tags.

    >>> gate_verdicts({"weir.gate.golden": "pass sha256:ab", "weir.commit": "c"})
    {'golden': 'pass'}
    """
    return {
        key.removeprefix(GATE_TAG): value.partition(" ")[0]
        for key, value in sorted(tags.items())
        if key.startswith(GATE_TAG)
    }


def missing_evidence(tags: Mapping[str, str], required: Iterable[str]) -> str | None:
    """Why these tags are not complete evidence, or None when every gate lets it pass."""
    verdicts = gate_verdicts(tags)
    for gate in required:
        if gate not in verdicts:
            return f"gate {gate} has not judged this version"
    for gate, verdict in verdicts.items():
        if verdict not in ENOUGH:
            return f"gate {gate} says {verdict}"
    return None


def overall(verdicts: Mapping[str, str], required: Iterable[str]) -> str:
    """`passed`, `failed` or `not_enough_evidence`: the one word for every gate together.

    >>> overall({"golden": "pass", "fairness": "waived"}, ["golden", "fairness"])
    'passed'
    >>> overall({"golden": "pass"}, ["golden", "fairness"])
    'not_enough_evidence'
    """
    if "fail" in verdicts.values():
        return "failed"
    asked = {*required, *verdicts}
    complete = all(verdicts.get(gate) in ENOUGH for gate in asked)
    return "passed" if complete else "not_enough_evidence"


def evidence_hash(version: ModelVersion) -> str:
    """`sha256:…` over the version's identity and everything its gates said."""
    judged = {
        key: value
        for key, value in version.tags.items()
        if key.startswith((GATE_TAG, WAIVER_TAG)) or key == ARTEFACT_TAG
    }
    identity = [version.uri, version.source, version.created_at.isoformat()]
    content = orjson.dumps([identity, judged], option=orjson.OPT_SORT_KEYS)
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
