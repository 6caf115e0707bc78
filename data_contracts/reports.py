"""Reports that judging leaves behind: gate verdicts with their evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

GateVerdict = Literal["pass", "fail", "not_enough_evidence"]


@dataclass(frozen=True)
class Metric:
    """One measured figure with its 95 % interval and the bound that it is held against.

    `bound` is a floor or a ceiling (`direction`), None where the figure is only shown.
    `sample_size` counts the events that the figure rests on; `slice` names the part judged.
    """

    name: str
    value: float
    sample_size: int
    low: float | None = None
    high: float | None = None
    bound: float | None = None
    direction: Literal["at_least", "at_most"] | None = None
    slice: str = "all"
    verdict: GateVerdict | None = None


@dataclass(frozen=True)
class GateReport:
    """What one gate says of one model.

    A gate that says no is data, not an error. `not_enough_evidence` blocks unless waived.

    What `details` may hold for the pictures and the model card, each absent where not measured:
    `champion` (the name of the model compared with), `champion_metrics` (records of `Metric`: the
    champion's own figures, matched by name and slice), `curves`, `calibration` ({"challenger":
    [{"predicted", "observed", "low", "high", "count"}, …], "champion": …}), `attack_costs`.
    """

    gate: str
    verdict: GateVerdict
    metrics: tuple[Metric, ...]
    reasons: tuple[str, ...]
    model: str
    datasets: tuple[str, ...]
    suite_version: str
    details: dict[str, Any] = field(default_factory=dict)

    def as_record(self) -> dict[str, Any]:
        """Plain JSON types, as the report file and MLflow hold it."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """What `as_record` gave. Raises KeyError or TypeError where it is no such record."""
        metrics = tuple(Metric(**metric) for metric in record["metrics"])
        texts = {name: tuple(record[name]) for name in ("reasons", "datasets")}
        return cls(**{**record, "metrics": metrics, **texts})


def worst(verdicts: list[GateVerdict]) -> GateVerdict:
    """The verdict of several: one fail fails, then missing evidence, and nothing is no evidence.

    >>> worst(["pass", "not_enough_evidence"])
    'not_enough_evidence'
    """
    if "fail" in verdicts:
        return "fail"
    if "not_enough_evidence" in verdicts or not verdicts:
        return "not_enough_evidence"
    return "pass"
