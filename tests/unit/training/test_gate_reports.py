"""Gate reports are checked before they become evidence, and read well in MLflow."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from data_contracts.errors import BadInput
from data_contracts.reports import GateReport, Metric
from training.gate_reports import Judgement, read_judgements, worst_first
from training.registry import ModelVersion
from training.version_summary import summary
from training.waivers import Waiver

REPORT = GateReport(
    gate="golden",
    verdict="pass",
    metrics=(
        Metric("recall", 0.91, 400, 0.88, 0.93, 0.85, "at_least", verdict="pass"),
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


def _read(folder: Path, report: GateReport, *waivers: Waiver) -> Judgement:
    return read_judgements([_write(folder, report)], waivers)[0]


def _waiver(report: str, gate: str = "golden", **covers: str) -> Waiver:
    """Its signature is `training.promotion`'s to check."""
    fields = {
        "version": "models:/spam/3", "artefact": f"sha256:{'c' * 64}", "gate": gate,
        "report": report, "reason": "few labels yet", "by": "grace",
        "signed_at": datetime(2026, 1, 5, tzinfo=UTC), "until": date(2026, 1, 7), **covers,
    }  # fmt: skip
    return Waiver.model_validate(fields)


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


LACKING = replace(
    REPORT,
    verdict="not_enough_evidence",
    metrics=(
        replace(REPORT.metrics[0], verdict="not_enough_evidence"),
        replace(REPORT.metrics[0], slice="language=zh", verdict="not_enough_evidence"),
        replace(REPORT.metrics[0], slice="language=tr", verdict="pass"),
    ),
)


def test_a_waiver_of_the_gate_or_of_everything_that_it_lacks_waives_it(tmp_path: Path) -> None:
    before = _read(tmp_path, LACKING)
    assert before.verdict == "not_enough_evidence"
    whole = _waiver(before.digest)
    said = _read(tmp_path, LACKING, whole)
    assert said.verdict == "waived"
    assert said.tags()["weir.gate.golden"] == f"waived {before.digest}"
    assert json.loads(said.tags()["weir.waiver.golden"]) == [whole.as_record()]
    one = _waiver(before.digest, figure="recall")
    half = _read(tmp_path, LACKING, one)
    assert half.verdict == "not_enough_evidence"
    assert half.not_waived == [("recall", "language=zh")]
    other = _waiver(before.digest, figure="recall", slice="language=zh")
    assert _read(tmp_path, LACKING, one, other).verdict == "waived"


def test_a_waiver_of_anything_else_is_refused(tmp_path: Path) -> None:
    digest = _read(tmp_path, LACKING).digest
    with pytest.raises(BadInput, match="is for another report"):
        _read(tmp_path, LACKING, _waiver(f"sha256:{'0' * 64}"))
    with pytest.raises(BadInput, match="no report of that gate"):
        _read(tmp_path, LACKING, _waiver(digest, gate="fairness"))
    unneeded = _waiver(digest, figure="recall", slice="language=tr")
    with pytest.raises(BadInput, match=r"recall \(language=tr\), which does not lack evidence"):
        _read(tmp_path, LACKING, unneeded)
    for verdict in ("pass", "fail"):
        report = replace(LACKING, verdict=verdict)
        with pytest.raises(BadInput, match=f"says {verdict}; only a lack of evidence"):
            _read(tmp_path, report, _waiver(_read(tmp_path, report).digest))


def test_figures_come_worst_first() -> None:
    near = Metric("near", 0.86, 9, 0.8, 0.9, bound=0.85, direction="at_least", verdict="pass")
    far = replace(near, name="far", value=0.99)
    low = replace(near, name="low", direction="at_most", value=0.1, bound=0.2)
    count = Metric("count", 3, 3, bound=30, direction="at_least", verdict="not_enough_evidence")
    failed = replace(near, name="failed", value=0.2, verdict="fail")
    shown = Metric("shown", 0.1, 4)
    records = [metric.__dict__ for metric in (shown, far, low, count, near, failed)]
    names = [metric["name"] for metric in worst_first(records)]
    assert names == ["failed", "count", "near", "low", "far"]


def test_two_reports_of_one_gate_are_refused(tmp_path: Path) -> None:
    paths = [_write(tmp_path, REPORT, "a.json"), _write(tmp_path, REPORT, "b.json")]
    with pytest.raises(BadInput, match="two reports of gate golden"):
        read_judgements(paths)


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
        read_judgements([path])
    assert problem in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"absent\.json: No such file"):
        read_judgements([tmp_path / "absent.json"])


def test_the_summary_is_the_verdict_a_line_a_gate_and_the_way_to_the_card(tmp_path: Path) -> None:
    place = "#/experiments/1/runs/run-1"
    said = [_read(tmp_path, REPORT)]
    text = summary(VERSION, said, "passed", "sha256:ab", place, card=True)
    assert text.startswith("**Gates passed.** A reviewer decides: the tag `weir.approval`")
    figure = "recall: 0.910 [0.880, 0.930], asked ≥ 0.85"
    assert f"golden **pass**, nearest to its bound: {figure}" in text
    assert f"[Read the model card]({place}/artifacts/gates/model_card.html)" in text
    assert "Evidence `sha256:ab…`" in text
    refused = [_read(tmp_path, replace(REPORT, verdict="fail"))]
    text = summary(VERSION, refused, "failed", "sha256:ab", place, card=False)
    assert "- golden **fail**" in text
    assert "weir.approval" not in text
    assert "model_card" not in text


def test_the_summary_shows_waivers_and_escapes_what_people_wrote(tmp_path: Path) -> None:
    waiver = _waiver(_read(tmp_path, LACKING).digest)
    odd = waiver.model_copy(update={"reason": "see [here](https://x.example)\n# now"})
    text = summary(VERSION, [_read(tmp_path, LACKING, odd)], "passed", "e", "#/a", card=True)
    assert "waived until 2026-01-07 by grace, golden: every lack of evidence: see" in text
    assert r"\[here\](https://x.example) \# now" in text
