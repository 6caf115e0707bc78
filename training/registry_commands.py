"""The verbs about versions: promote, approve, approval, lineage. `register` is in `registration`.

Orchestrators poll `approval`, so nothing here imports more than it needs.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import orjson

from data_contracts.config import Settings
from data_contracts.errors import BadInput
from pipelines import audit_trail
from pipelines.state import open_state
from training import registry
from training.gate_evidence import gate_verdicts
from training.gate_reports import read_judgements
from training.promotion import Promotion


def promote(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Attach gate reports; where all let the version pass it becomes the challenger."""
    judgements = read_judgements(arguments.gate, _waivers(arguments.waive))
    done = Promotion.of(settings).promote(arguments.version, judgements)
    return {
        "version": done.version.number,
        "promoted": done.promoted,
        "gates": done.gates,
        "verdicts": gate_verdicts(done.version.tags),
    }


def approve(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Approve as the demo reviewer, over MLflow's REST interface with the reviewer's password."""
    if arguments.user not in settings.registry.reviewers:
        raise BadInput(
            f"--as {arguments.user}: not a reviewer; registry.reviewers has "
            f"{', '.join(settings.registry.reviewers)}"
        )
    reviewer = registry.connect(settings, arguments.user)
    given = Promotion.of(settings).approve(arguments.version, reviewer)
    return {
        "version": given.version,
        "approved_by": given.by,
        "approved_at": given.at.isoformat() if given.at else None,
        "evidence": given.evidence,
    }


def approval(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Whether the version is approved; a no is data."""
    promotion = Promotion.of(settings)
    if registry.find_version(promotion.connection, arguments.version) is None:
        reason = f"no version {arguments.version!r}"
        return {"version": None, "approved": False, "approved_by": None, "reason": reason}
    said = promotion.is_approved(arguments.version)
    return {
        "version": said.version,
        "approved": said.approved,
        "approved_by": said.by,
        "approved_at": said.at.isoformat() if said.at else None,
        "reason": said.reason,
    }


def lineage(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """The chain behind a version: run, commit, configuration, data, labels, gates, approvals."""
    connection = registry.connect(settings)
    version = registry.get_version(connection, arguments.version)
    rows = audit_trail.entries(open_state(settings.state_url), version.uri)
    return {
        "model": version.model,
        "version": version.number,
        "aliases": list(version.aliases),
        "uri": version.uri,
        "created_at": version.created_at.isoformat(),
        "run_id": version.run_id,
        "run": _run_page(connection, version.run_id),
        **{
            key.removeprefix("weir."): _plain(value)
            for key, value in sorted(version.tags.items())
            if key.startswith("weir.")
        },
        "trail": [
            {"at": row.at.isoformat(), "who": row.who, "what": row.what, "evidence": row.evidence}
            for row in rows
        ],
    }


def _run_page(connection: registry.Connection, run_id: str) -> str:
    run = connection.call("GET", "runs/get", run_id=run_id)["run"]
    experiment_id = run["info"]["experiment_id"]
    return f"{connection.tracking_uri}/#/experiments/{experiment_id}/runs/{run_id}"


def _waivers(given: Sequence[str]) -> dict[str, str]:
    pairs = [item.partition("=") for item in given]
    for gate, _, reason in pairs:
        if not gate or not reason.strip():
            raise BadInput(f"--waive {gate!r}: write GATE=REASON, the reason is kept on record")
    return {gate: reason.strip() for gate, _, reason in pairs}


def _plain(value: str) -> Any:
    """JSON where a tag holds a list or an object, else the text."""
    return orjson.loads(value) if value[:1] in "[{" and value[-1:] in "]}" else value
