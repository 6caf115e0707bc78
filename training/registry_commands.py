"""The verbs about versions: promote, waiver, approve, approval, lineage.

Orchestrators poll `approval`, so nothing here imports more than it needs.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

import orjson

from data_contracts.config import Settings
from data_contracts.errors import BadInput
from data_contracts.files import write_atomically
from pipelines import audit_trail
from pipelines.state import open_state
from training import registry
from training.gate_evidence import gate_verdicts
from training.gate_reports import read_judgements
from training.promotion import Promotion
from training.waivers import (
    WaiverRules,
    draft,
    private_key_of,
    problem,
    public_key,
    read_waiver,
    signed,
)


def promote(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Attach gate reports; where all let the version pass it becomes the challenger."""
    waivers = [read_waiver(path) for path in arguments.waiver]
    judgements = read_judgements(arguments.gate, waivers)
    done = Promotion.of(settings).promote(arguments.version, judgements, arguments.card)
    return {
        "version": done.version.number,
        "promoted": done.promoted,
        "gates": done.gates,
        "verdicts": gate_verdicts(done.version.tags),
    }


def waiver(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Sign a waiver of what a recorded report lacks, or show the public key of one's own key."""
    private_key = private_key_of()
    if arguments.action == "public-key":
        return {"public_key": public_key(private_key)}
    needed = ("version", "gate", "reason", "until", "by")
    if missing := [f"--{name}" for name in needed if getattr(arguments, name) is None]:
        raise BadInput(f"waiver sign needs {', '.join(missing)}")
    version = registry.get_version(registry.connect(settings), arguments.version)
    wanted = draft(
        version, arguments.gate, reason=arguments.reason, by=arguments.by, until=arguments.until,
        now=datetime.now(UTC), figure=arguments.figure, part=arguments.slice,
    )  # fmt: skip
    done = signed(wanted, private_key)
    rules = WaiverRules.of(settings.registry)
    if found := problem(done, version, done.report, rules, done.signed_at):
        raise BadInput(f"this waiver would not count: {found}")
    folder = settings.home / "waivers"
    name = f"{version.model}-{version.number}-{done.gate}-{done.signature[:8]}.json"
    path = arguments.output or folder / name
    write_atomically(path, orjson.dumps(done.as_record(), option=orjson.OPT_INDENT_2))
    return {"waiver": str(path), "covers": done.covers, "until": str(done.until)}


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
    """Whether the version is approved; a no is data, unless `--or-fail` says otherwise."""
    promotion = Promotion.of(settings)
    version = registry.find_version(promotion.connection, arguments.version)
    if version is None:
        reason = f"no version {arguments.version!r}"
        if arguments.or_fail:
            raise BadInput(f"{reason} in MLflow; give a number, or challenger")
        return {"version": None, "approved": False, "approved_by": None, "reason": reason}
    if arguments.model not in (None, version.uri):
        raise BadInput(f"--model {arguments.model} is not {version.uri}; give one of them")
    said = promotion.is_approved(version.number)
    if arguments.or_fail and not said.approved:
        raise BadInput(f"{version.uri} is not approved: {said.reason}")
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
        "run": f"{connection.tracking_uri}/{registry.run_page(connection, version.run_id)}",
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


def _plain(value: str) -> Any:
    """JSON where a tag holds a list or an object, else the text."""
    return orjson.loads(value) if value[:1] in "[{" and value[-1:] in "]}" else value
