"""`validate`: a day of the lake against its expectations; the one door to Great Expectations.

Suites are data in `data_contracts/expectations/`. A failed critical expectation ends the step
with exit 2, which stops the DAG; a failed warning is only reported. Reports never show values
of the data, only how many were unexpected.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from data_contracts.config import PROJECT, Settings
from data_contracts.errors import BadInput, ConfigurationError
from data_contracts.files import write_atomically
from data_contracts.tables import DERIVED
from data_contracts.yaml_files import read_yaml
from pipelines import lake
from pipelines.days import days_to_do
from pipelines.downloads import file_sha256

SUITES = PROJECT / "data_contracts" / "expectations"


class Expectation(BaseModel):
    """One expectation by its Great Expectations name, and what to do when it fails."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Annotated[str, Field(pattern="^expect_[a-z_]+$")]
    severity: Literal["critical", "warning"]
    arguments: dict[str, Any]
    remedy: str


class Suite(BaseModel):
    """The expectations of one table; a table that is not required may be absent on a day."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: Literal["events", "verdicts", "labels", "arrivals"]
    required: bool
    expectations: Annotated[tuple[Expectation, ...], Field(min_length=1)]


class Check(BaseModel):
    """What one expectation said of one table on one day; `observed` is a count or a measure."""

    model_config = ConfigDict(frozen=True)

    day: str
    table: str
    expectation: str
    column: str
    severity: Literal["critical", "warning"]
    passed: bool
    observed: str
    remedy: str

    def __str__(self) -> str:
        place = f"{self.table} of {self.day}, column {self.column}"
        return f"{place}: {self.expectation} failed, observed {self.observed}; {self.remedy}"


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """The verb `validate`. Raises BadInput where a critical expectation fails."""
    suites, folder = load_suites(), settings.reports / "validation"
    todo = days_to_do(
        arguments.day,
        lake.days(settings.lake, "events"),
        lambda day: _report_is_current(folder, settings.lake, day),
        where=f"{settings.lake / 'events'}",
    )
    checks = {day: validate_day(settings.lake, day, suites) for day in todo}
    for day, found in checks.items():
        _write_report(folder, settings.lake, day, found)
    failed = [check for found in checks.values() for check in found if not check.passed]
    critical = [check for check in failed if check.severity == "critical"]
    if critical:
        raise BadInput(_refusal(critical, folder))
    return {
        "days": todo,
        "checks": sum(len(found) for found in checks.values()),
        "failed": 0,
        "warnings": [str(check) for check in failed],
        "report": str(folder),
    }


def load_suites(folder: Path = SUITES) -> list[Suite]:
    """Every suite of a folder. Raises ConfigurationError naming file, key and value."""
    suites = [read_yaml(Suite, path) for path in sorted(folder.glob("*.yaml"))]
    if not suites:
        raise ConfigurationError(f"no suite in {folder}; restore it from the repository")
    return suites


def validate_day(lake_folder: Path, day: str, suites: Sequence[Suite]) -> list[Check]:
    """Every expectation of every suite whose table the day has."""
    found: list[Check] = []
    for suite in suites:
        frame = _frame(lake_folder, day, suite.table)
        if frame is not None:
            found += _checked(suite, frame, day)
        elif suite.required:
            raise BadInput(f"day {day} has no {suite.table} in {lake_folder}; ingest it first")
    return found


def _frame(lake_folder: Path, day: str, table: str) -> pd.DataFrame | None:
    if table == "arrivals":
        return _arrivals(lake_folder, day)
    if not lake.has(lake_folder, table, day):
        return None
    frame: pd.DataFrame = lake.read(lake_folder, table, [day]).to_pandas()
    return frame


def _arrivals(lake_folder: Path, day: str) -> pd.DataFrame:
    events = lake.read(lake_folder, "events", [day]).num_rows
    quarantined = lake.read(lake_folder, "quarantine", [day]).num_rows
    share = quarantined / max(events + quarantined, 1)
    return pd.DataFrame(
        [{"events": events, "quarantined": quarantined, "quarantined_share": share}]
    )


def _checked(suite: Suite, frame: pd.DataFrame, day: str) -> list[Check]:
    gx = _great_expectations()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    source = context.data_sources.add_pandas("lake").add_dataframe_asset(suite.table)
    batch = source.add_batch_definition_whole_dataframe(day).get_batch(
        batch_parameters={"dataframe": frame}
    )
    known = gx.ExpectationSuite(
        name=suite.table,
        expectations=[_configured(gx, item, at) for at, item in enumerate(suite.expectations)],
    )
    results = batch.validate(known, result_format="BASIC").results
    return sorted(
        (_check(result.to_json_dict(), suite, day) for result in results),
        key=lambda check: (check.passed, check.severity, check.expectation, check.column),
    )


def _great_expectations() -> Any:
    """The library, with its telemetry off before it is imported."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations

    return great_expectations


def _configured(gx: Any, item: Expectation, position: int) -> Any:
    name = "".join(word.capitalize() for word in item.type.split("_"))
    kind = getattr(gx.expectations, name, None)
    if kind is None:
        raise ConfigurationError(
            f"{item.type!r} is no expectation of Great Expectations; "
            "mend data_contracts/expectations"
        )
    return kind(**item.arguments, severity=item.severity, meta={"position": position})


def _check(result: Mapping[str, Any], suite: Suite, day: str) -> Check:
    item = suite.expectations[result["expectation_config"]["meta"]["position"]]
    columns = item.arguments.get("column_list") or [item.arguments.get("column", "-")]
    return Check(
        day=day,
        table=suite.table,
        expectation=item.type,
        column=", ".join(columns),
        severity=item.severity,
        passed=bool(result["success"]),
        observed=_observed(result),
        remedy=item.remedy,
    )


def _observed(result: Mapping[str, Any]) -> str:
    """The measure or the count of unexpected values; never a value of the data itself."""
    raised = [
        cause["exception_message"]
        for cause in (result.get("exception_info") or {}).values()
        if isinstance(cause, dict) and cause.get("raised_exception")
    ]
    if raised:
        return str(raised[0]).removeprefix("Error: ")
    measured = result["result"]
    if "observed_value" in measured:
        return str(measured["observed_value"])
    unexpected, count = measured.get("unexpected_count", 0), measured.get("element_count", 0)
    return f"{unexpected} unexpected of {count}"


def _refusal(critical: Sequence[Check], folder: Path) -> str:
    lines = [f"{len(critical)} critical expectations failed (report: {folder})"]
    return "\n  ".join([*lines, *(str(check) for check in critical)])


def _write_report(folder: Path, lake_folder: Path, day: str, checks: Sequence[Check]) -> None:
    content = {
        "day": day,
        "passed": all(check.passed or check.severity == "warning" for check in checks),
        "inputs": _inputs(lake_folder, day),
        "checks": [check.model_dump() for check in checks],
    }
    write_atomically(folder / f"day={day}.json", orjson.dumps(content, option=orjson.OPT_INDENT_2))


def _report_is_current(folder: Path, lake_folder: Path, day: str) -> bool:
    """Whether the day passed and is still the same; a day that failed stays pending."""
    path = folder / f"day={day}.json"
    if not path.is_file():
        return False
    report = orjson.loads(path.read_bytes())
    return bool(report["passed"] and report["inputs"] == _inputs(lake_folder, day))


def _inputs(lake_folder: Path, day: str) -> dict[str, str]:
    paths = sorted(lake_folder.glob(f"*/day={day}/{lake.PART}"))
    found = {path.parent.parent.name: path for path in paths}
    return {name: file_sha256(path) for name, path in found.items() if name not in DERIVED}
