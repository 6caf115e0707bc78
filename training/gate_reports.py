"""Gate reports as a model version shows them: tags, figures and files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import orjson

from data_contracts.errors import BadInput
from data_contracts.reports import GateVerdict
from training.gate_evidence import GATE_TAG, WAIVED, WAIVER_TAG
from training.waivers import Waiver, lacking, not_covered

CARD = "model_card.html"
_NOT_IN_METRIC_NAMES = re.compile(r"[^\w\-. /:]")
_GATE_NAME = re.compile(r"^[a-z][a-z0-9_]*$")


@dataclass(frozen=True)
class Judgement:
    """One gate's report file: its record, its bytes' hash, and the waivers of what it lacks.

    A gate that says fail cannot be waived; one that lacks evidence is waived where its waivers
    cover everything that it lacks.
    """

    path: Path
    record: Mapping[str, Any]
    digest: str
    waivers: tuple[Waiver, ...] = ()

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
        waived = self.waivers and not self.not_waived
        return WAIVED if waived else str(self.record["verdict"])

    @property
    def not_waived(self) -> list[tuple[str, str]]:
        """Figure and slice of what the gate lacks and no waiver covers."""
        return not_covered(self.record["metrics"], self.waivers)

    def tags(self) -> dict[str, str]:
        """The verdict, and the signed waivers themselves, so that anybody can check them."""
        tags = {f"{GATE_TAG}{self.gate}": f"{self.verdict} {self.digest}"}
        if self.waivers:
            records = [waiver.as_record() for waiver in self.waivers]
            tags[f"{WAIVER_TAG}{self.gate}"] = orjson.dumps(records).decode()
        return tags

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


def read_judgements(paths: Sequence[Path], waivers: Sequence[Waiver] = ()) -> list[Judgement]:
    """Read and check the files, one a gate, each with its waivers (whose signatures are not
    checked here). Raises BadInput that names the file and the problem.
    """
    found = [_read(path, waivers) for path in paths]
    gates = [judgement.gate for judgement in found]
    for gate in gates:
        if gates.count(gate) > 1:
            raise BadInput(f"two reports of gate {gate}; give one a gate")
    for waiver in waivers:
        if waiver.gate not in gates:
            raise BadInput(f"a waiver of gate {waiver.gate}, and no report of that gate was given")
    return found


def worst_first(metrics: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The judged figures: fails, then lack of evidence, then passes, nearest to its bound first.

    Counts of cases come after the figures of their verdict: they have no interval.
    """
    judged = [metric for metric in metrics if metric.get("bound") is not None]
    return sorted(judged, key=_room)


def figure(metric: Mapping[str, Any]) -> str:
    """A figure in words: `recall (language=tr): 0.910 [0.880, 0.930], asked ≥ 0.85`."""
    value = f"{metric['value']:g}"
    if metric.get("low") is not None and metric.get("high") is not None:
        middle, low, high = (three_digits(metric[key]) for key in ("value", "low", "high"))
        value = f"{middle} [{low}, {high}]"
    part = "" if metric.get("slice", "all") == "all" else f" ({metric['slice']})"
    asked = {"at_least": "≥", "at_most": "≤"}.get(str(metric.get("direction")), "")
    bound = f", asked {asked} {metric['bound']:g}" if metric.get("bound") is not None else ""
    return f"{str(metric['name']).replace('_', ' ')}{part}: {value}{bound}"


def three_digits(value: float) -> str:
    """Three digits after the point; never `-0.000`.

    >>> three_digits(-0.0001)
    '0.000'
    """
    return f"{round(float(value), 3) + 0.0:.3f}"


def _read(path: Path, waivers: Sequence[Waiver]) -> Judgement:
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
    return Judgement(path, record, digest, _waivers_of(gate, record, digest, waivers))


def _waivers_of(
    gate: str, record: Mapping[str, Any], digest: str, waivers: Sequence[Waiver]
) -> tuple[Waiver, ...]:
    own = tuple(waiver for waiver in waivers if waiver.gate == gate)
    lacks = lacking(record["metrics"])
    for waiver in own:
        if record["verdict"] != "not_enough_evidence":
            raise BadInput(
                f"a waiver of gate {gate}, which says {record['verdict']}; only a lack of evidence "
                "can be waived"
            )
        if waiver.report != digest:
            raise BadInput(
                f"the waiver of gate {gate} by {waiver.by} is for another report; sign it again"
            )
        if waiver.figure is not None and (waiver.figure, waiver.slice) not in lacks:
            known = ", ".join(f"{name} ({part})" for name, part in lacks)
            raise BadInput(f"a waiver of {waiver.covers}, which does not lack evidence; {known} do")
    return own


def _metric_name(gate: str, metric: Mapping[str, Any]) -> str:
    part = metric.get("slice", "all")
    name = f"{gate}/{metric['name']}" if part == "all" else f"{gate}/{metric['name']}.{part}"
    return _NOT_IN_METRIC_NAMES.sub("_", name)[:250]


def _room(metric: Mapping[str, Any]) -> tuple[int, bool, float]:
    """Sorts worst first: verdict, counts after figures, then the distance to the bound."""
    order = {"fail": 0, "not_enough_evidence": 1}
    side = 1.0 if metric.get("direction") == "at_least" else -1.0
    distance = side * (float(metric["value"]) - float(metric["bound"]))
    return order.get(str(metric.get("verdict")), 2), metric.get("low") is None, distance
