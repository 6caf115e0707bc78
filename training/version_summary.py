"""The description of a version in MLflow: what a reviewer reads before anything else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from training.gate_evidence import APPROVAL_TAG, APPROVED, EVIDENCE_TAG
from training.gate_reports import CARD, Judgement, figure, worst_first
from training.registry.versions import ModelVersion

HEADLINES = {
    "passed": "Gates passed",
    "failed": "Gates failed",
    "not_enough_evidence": "Gates lack evidence",
}
OVER_CHAMPION = "_over_champion"
EVIDENCE_SHOWN = 23  # characters: a phone breaks no longer word


def summary(
    version: ModelVersion,
    judgements: Sequence[Judgement],
    gates: str,
    evidence: str,
    run_page: str,
    *,
    card: bool,
) -> str:
    """Markdown: the verdict, a line a gate with its worst figure, the way to the card, what next.

    `run_page` is the run's address in MLflow; `card` says whether the card is among its artifacts.
    """
    way = _card(version, run_page) if card else f"[Read the reports]({run_page}/artifacts/gates)."
    lines = [
        f"**{HEADLINES[gates]}.** {_ask(gates)}",
        "",
        *(_line(judgement) for judgement in judgements),
        *(line for judgement in judgements for line in _waived(judgement)),
        "",
        way,
        "",
        f"Evidence `{evidence[:EVIDENCE_SHOWN]}…`, the whole of it in the tag `{EVIDENCE_TAG}`.",
    ]
    return "\n".join(lines)


def _card(version: ModelVersion, run_page: str) -> str:
    """In MLflow's viewer, and as a file for a phone, on which that viewer has no room."""
    viewer = f"{run_page}/artifacts/gates/{CARD}"
    file = f"get-artifact?run_uuid={version.run_id}&path=gates/{CARD}"
    return f"[Read the model card]({viewer}), or [as a file]({file}) on a phone."


def _ask(gates: str) -> str:
    if gates == "passed":
        return f"A reviewer decides: the tag `{APPROVAL_TAG}` set to `{APPROVED}` approves."
    return "No rollout can start from this version."


def _line(judgement: Judgement) -> str:
    judged = worst_first(judgement.record["metrics"])
    figures = [metric for metric in judged if metric.get("low") is not None]
    ahead = next((m for m in figures if str(m["name"]).endswith(OVER_CHAMPION)), None)
    said = [figure(judged[0])] if judged else []
    if ahead is not None and ahead is not judged[0]:
        said.append(figure(ahead))
    passes = bool(judged) and judged[0].get("verdict") == "pass"
    others = sum(metric.get("verdict") == judged[0].get("verdict") for metric in judged[1:])
    more = f"; {others} more like it" if others and not passes else ""
    verdict = judgement.verdict.replace("_", " ")
    which = "nearest to its bound" if passes else "worst"
    return f"- {judgement.gate} **{verdict}**, {which}: {'; '.join(said) or 'no figure'}{more}"


def _waived(judgement: Judgement) -> Iterator[str]:
    for waiver in judgement.waivers:
        who = f"waived until {waiver.until} by {_plain(waiver.by)}"
        yield f"- {who}, {_plain(waiver.covers)}: {_plain(waiver.reason)}"


def _plain(text: str) -> str:
    """Text of people, on one line and without Markdown of its own."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#!" else c for c in " ".join(text.split()))
