"""Gate reports are checked before they become evidence, and read well in MLflow."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from data_contracts.errors import BadInput
from data_contracts.reports import GateReport, Metric
from training.gate_reports import Judgement, read_judgements, summary
from training.registry import ModelVersion

REPORT = GateReport(
    gate="golden",
    verdict="pass",
    metrics=(
        Metric("recall", 0.91, 400, low=0.88, high=0.93, bound=0.85, direction="at_least"),
        Metric("false positives", 0.01, 300, slice="language=zh"),
    ),
    reasons=(),
    model="e-1",
    datasets=("tiny",),
    suite_version="1",
)
VERSION = ModelVersion("spam", 3, "run-1", "models:/m", datetime(2026, 1, 5, tzinfo=UTC), {}, ())


def _write(folder: Path, report: GateReport, name: str = "report.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(report.as_record()))
    return path


def _read(folder: Path, report: GateReport, **waivers: str) -> Judgement:
    return read_judgements([_write(folder, report)], waivers)[0]


def test_a_report_becomes_a_tag_with_its_hash(tmp_path: Path) -> None:
    (tag,) = _read(tmp_path, REPORT).tags().items()
    assert tag[0] == "weir.gate.golden"
    assert tag[1].startswith("pass sha256:")


def test_figures_get_names_that_mlflow_accepts_and_groups(tmp_path: Path) -> None:
    assert _read(tmp_path, REPORT).metrics() == {
        "golden/recall": 0.91,
        "golden/false positives.language_zh": 0.01,
    }


def test_pictures_named_by_the_report_go_with_it_and_no_other_file(tmp_path: Path) -> None:
    for name in ("curve.svg", "other.svg"):
        (tmp_path / name).write_text("<svg/>")
    named = replace(REPORT, details={"pictures": ["curve.svg", "../other.svg", "absent.png"]})
    names = [path.name for path in _read(tmp_path, named).files()]
    assert names == ["report.json", "curve.svg", "other.svg"]
    (tmp_path.parent / "secret.svg").write_text("<svg/>")
    escaping = replace(REPORT, details={"pictures": ["../secret.svg"]})
    assert [path.name for path in _read(tmp_path, escaping).files()] == ["report.json"]


def test_only_a_lack_of_evidence_can_be_waived(tmp_path: Path) -> None:
    lacking = replace(REPORT, verdict="not_enough_evidence")
    assert _read(tmp_path, lacking).verdict == "not_enough_evidence"
    waived = _read(tmp_path, lacking, golden="few labels yet")
    assert waived.verdict == "waived"
    assert waived.tags()["weir.waiver.golden"] == "few labels yet"
    assert _read(tmp_path, REPORT, golden="not needed").verdict == "pass"
    with pytest.raises(BadInput, match="cannot be waived"):
        _read(tmp_path, replace(REPORT, verdict="fail"), golden="please")
    with pytest.raises(BadInput, match="no report of that gate"):
        _read(tmp_path, REPORT, fairness="no such report")


def test_two_reports_of_one_gate_are_refused(tmp_path: Path) -> None:
    paths = [_write(tmp_path, REPORT, "a.json"), _write(tmp_path, REPORT, "b.json")]
    with pytest.raises(BadInput, match="two reports of gate golden"):
        read_judgements(paths, {})


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("not JSON", "is no gate report"),
        ("[]", "is no gate report"),
        ('{"gate": "golden"}', "is no gate report"),
        ('{"gate": "golden", "verdict": "maybe", "metrics": [], "model": "m"}', "says 'maybe'"),
        ('{"gate": "../x", "verdict": "pass", "metrics": [], "model": "m"}', "gate '../x'"),
    ],
)
def test_a_file_that_is_no_report_is_named(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(content)
    with pytest.raises(BadInput, match=r"broken\.json") as caught:
        read_judgements([path], {})
    assert problem in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"absent\.json: No such file"):
        read_judgements([tmp_path / "absent.json"], {})


def test_the_summary_shows_verdict_figure_interval_and_what_to_do(tmp_path: Path) -> None:
    text = summary(VERSION, [_read(tmp_path, REPORT)], "passed", "sha256:ab")
    assert "| golden | **pass** | recall: 0.910 [0.880, 0.930], asked ≥ 0.85 | 400 |" in text
    assert "sets the tag `weir.approval` to `approved`" in text
    refused = replace(REPORT, verdict="fail", reasons=("recall fails: 0.2",))
    text = summary(VERSION, [_read(tmp_path, refused)], "failed", "sha256:ab")
    assert "- golden: recall fails: 0.2" in text
    assert "weir.approval" not in text
