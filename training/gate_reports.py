"""Gate reports as a model version shows them: tags, figures, files and a readable summary."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import orjson

from data_contracts.errors import BadInput
from data_contracts.reports import GateVerdict
from training.gate_evidence import APPROVAL_TAG, APPROVED, GATE_TAG, WAIVER_TAG
from training.registry.versions import ModelVersion

FIGURES_SHOWN = 12
_NOT_IN_METRIC_NAMES = re.compile(r"[^\w\-. /:]")
_GATE_NAME = re.compile(r"^[a-z][a-z0-9_]*$")


@dataclass(frozen=True)
class Judgement:
    """One gate's report file: its record, its bytes' hash, and why a lack of evidence was waived.

    `waiver` is empty where nothing was waived. A gate that says fail cannot be waived.
    """

    path: Path
    record: Mapping[str, Any]
    digest: str
    waiver: str = ""

    @property
    def model(self) -> str:
        """The model that was judged, as the report names it: the ensemble's own version."""
        return str(self.record["model"])

    @property
    def gate(self) -> str:
        return str(self.record["gate"])

    @property
    def verdict(self) -> str:
        """`pass`, `fail`, `not_enough_evidence` or `waived`."""
        return "waived" if self.waiver else str(self.record["verdict"])

    def tags(self) -> dict[str, str]:
        tags = {f"{GATE_TAG}{self.gate}": f"{self.verdict} {self.digest}"}
        return tags | ({f"{WAIVER_TAG}{self.gate}": self.waiver} if self.waiver else {})

    def metrics(self) -> dict[str, float]:
        """`gate/figure` and `gate/figure.slice`: MLflow draws the charts of a gate together."""
        return {
            _metric_name(self.gate, metric): float(metric["value"])
            for metric in self.record["metrics"]
            if metric.get("value") is not None
        }

    def files(self) -> list[Path]:
        """The report and the pictures that it names in `details.pictures`, which lie beside it."""
        names = self.record.get("details", {}).get("pictures", [])
        pictures = (self.path.parent / Path(name).name for name in names)
        return [self.path, *(path for path in pictures if path.is_file())]


def read_judgements(paths: Sequence[Path], waivers: Mapping[str, str]) -> list[Judgement]:
    """Read and check the files, one a gate. Raises BadInput that names the file and the problem."""
    found = [_read(path, waivers) for path in paths]
    gates = [judgement.gate for judgement in found]
    for gate in gates:
        if gates.count(gate) > 1:
            raise BadInput(f"two reports of gate {gate}; give one a gate")
    for gate in waivers:
        if gate not in gates:
            raise BadInput(f"--waive {gate}: no report of that gate was given")
    return found


def summary(
    version: ModelVersion, judgements: Sequence[Judgement], gates: str, evidence: str
) -> str:
    """Markdown for the version's description: verdicts, the figures behind them, what to do."""
    lines = [
        f"## Gates {gates.replace('_', ' ')}",
        "",
        "| gate | verdict | figures (95 % interval) | cases |",
        "|---|---|---|---|",
        *(line for judgement in judgements for line in _rows(judgement)),
        "",
        *(f"- {judgement.gate}: {reason}" for judgement in judgements
          for reason in _reasons(judgement)),
        "",
        f"Reports and pictures: artifacts of run `{version.run_id}`, folder `gates/`.",
        f"Evidence `{evidence}`.",
    ]  # fmt: skip
    if gates == "passed":
        lines.append(f"Approval: a reviewer sets the tag `{APPROVAL_TAG}` to `{APPROVED}`.")
    return "\n".join(lines)


def _read(path: Path, waivers: Mapping[str, str]) -> Judgement:
    try:
        content = path.read_bytes()
        record = orjson.loads(content)
        gate, verdict = record["gate"], record["verdict"]
        list(record["metrics"]), record["model"]
    except OSError as error:
        raise BadInput(f"gate report {path}: {error.strerror}; run the gate first") from None
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise BadInput(f"{path} is no gate report ({error}); run `evaluation gate`") from None
    if not _GATE_NAME.match(str(gate)) or verdict not in get_args(GateVerdict):
        raise BadInput(
            f"{path}: gate {gate!r} says {verdict!r}; a verdict is one of "
            f"{', '.join(get_args(GateVerdict))}"
        )
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return Judgement(path, record, digest, _waiver(gate, verdict, waivers))


def _waiver(gate: str, verdict: str, waivers: Mapping[str, str]) -> str:
    reason = waivers.get(gate, "")
    if reason and verdict == "fail":
        raise BadInput(f"--waive {gate}: it says fail, which cannot be waived; mend the model")
    return reason if verdict == "not_enough_evidence" else ""


def _metric_name(gate: str, metric: Mapping[str, Any]) -> str:
    part = metric.get("slice", "all")
    name = f"{gate}/{metric['name']}" if part == "all" else f"{gate}/{metric['name']}.{part}"
    return _NOT_IN_METRIC_NAMES.sub("_", name)[:250]


def _rows(judgement: Judgement) -> Iterator[str]:
    """The figures with an interval first: they decide; the others count cases."""
    judged = [metric for metric in judgement.record["metrics"] if metric.get("bound") is not None]
    shown = sorted(judged, key=lambda metric: metric.get("low") is None)[:FIGURES_SHOWN]
    figures = "<br>".join(_figure(metric) for metric in shown)
    if len(judged) > len(shown):
        figures += f"<br>and {len(judged) - len(shown)} more"
    cases = max((metric.get("sample_size", 0) for metric in judged), default=0)
    yield f"| {judgement.gate} | **{judgement.verdict}** | {figures} | {cases} |"


def _figure(metric: Mapping[str, Any]) -> str:
    value = f"{metric['value']:g}"
    if metric.get("low") is not None and metric.get("high") is not None:
        value = f"{metric['value']:.3f} [{metric['low']:.3f}, {metric['high']:.3f}]"
    part = "" if metric.get("slice", "all") == "all" else f" ({metric['slice']})"
    asked = {"at_least": "≥", "at_most": "≤"}.get(str(metric.get("direction")), "")
    name = str(metric["name"]).replace("_", " ")
    return f"{name}{part}: {value}, asked {asked} {metric['bound']:g}"


def _reasons(judgement: Judgement) -> list[str]:
    waived = [f"waived: {judgement.waiver}"] if judgement.waiver else []
    return [*waived, *map(str, judgement.record.get("reasons", []))]
