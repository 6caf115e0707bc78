"""The model card: all that a reviewer needs on one page, and nothing that a report smuggles in."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import orjson
import pytest

from data_contracts.config import Settings, load_settings
from data_contracts.reports import GateReport, Metric
from evaluation.card_sections import inline
from evaluation.card_subject import Subject
from evaluation.gates.pictures import PICTURES, pictures
from evaluation.gates.policy import load_policy
from evaluation.model_card import card, verdict
from training.gate_reports import Judgement, read_judgements
from training.waivers import Waiver

CONFIGURATION = {"training": {"trials": 30, "seed": 1}}
MODEL = Subject(
    "models:/spam/3",
    "ensemble-new",
    {
        "commit": "abc123", "commit_note": "", "configuration_hash": "sha256:11",
        "configuration": CONFIGURATION, "dataset_hashes": {"labels": "d41d8c"},
        "lake_days": ["2026-01-05", "2026-01-06"], "label_batches": {"2026-01-05/ada": 40},
        "datasets": ["sms", "turkish"],
    },
)  # fmt: skip
CHAMPION = Subject(
    "models:/spam/2",
    "ensemble-old",
    {**MODEL.lineage, "commit": "0ld", "configuration": {"training": {"trials": 10, "seed": 1}}},
)
BINS = [
    {"predicted": 0.1, "observed": 0.08, "low": 0.02, "high": 0.2, "count": 60},
    {"predicted": 0.9, "observed": 0.93, "low": 0.8, "high": 0.99, "count": 40},
]


CURVE = {
    "precision": [1.0, 0.9, 0.5], "recall": [0.4, 0.9, 1.0],
    "false_positive_rate": [0.0, 0.01, 0.4],
    "operating_point": {"recall": 0.9, "false_positive_rate": 0.01},
}  # fmt: skip
COST = {
    "caught": 80,
    **{
        cost: {"at": [1, 10, 50], "rate": [0.1, 0.2, 0.3], "low": [0.0, 0.1, 0.2],
               "high": [0.2, 0.3, 0.4]}
        for cost in ("queries", "edits")
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings({})


def _share(name: str, value: float, part: str = "all", bound: float | None = None) -> Metric:
    """A figure of 80 cases that passes where it has a bound."""
    high = name == "recall"
    return Metric(
        name, value, 80, max(value - 0.05, 0.0), min(value + 0.05, 1.0), bound,
        ("at_least" if high else "at_most") if bound is not None else None, part,
        "pass" if bound is not None else None,
    )  # fmt: skip


def _report(gate: str, *metrics: Metric, **details: object) -> GateReport:
    return GateReport(
        gate, "pass", metrics, (), MODEL.ensemble, ("sms",), "suite1", {"cases": 160, **details}
    )


@pytest.fixture(scope="module")
def reports() -> dict[str, GateReport]:
    """One a gate, with all that pictures are drawn from."""
    slices = [_share("recall", 0.9, f"language={name}", 0.4) for name in ("en", "tr")]
    golden = _report(
        "golden", _share("recall", 0.9, bound=0.6),
        _share("false_positive_rate", 0.01, bound=0.02),
        _share("false_positive_rate", 0.1, "language=de"),
        _share("false_positive_rate_over_champion", 0.0, bound=0.01),
        _share("recall", 0.7, "zero_shot=corpus", 0.4), *slices,
        curves={"challenger": CURVE, "champion": CURVE},
        calibration={"challenger": BINS, "champion": BINS[::-1]},
        champion_metrics=[{**vars(slices[0]), "value": 0.876}],
    )  # fmt: skip
    adversarial = _report(
        "adversarial", _share("evasion", 0.1, "homoglyph", 0.2),
        attack_costs={
            "false_positive_rate": 0.01,
            "models": {"challenger": {"all": COST}, "champion": {"all": COST}},
        },
    )  # fmt: skip
    fairness = _report("fairness", _share("false_positive_gap", 0.01, "identity=muslim", 0.07))
    return {report.gate: report for report in (golden, adversarial, fairness)}


@pytest.fixture(scope="module")
def page(
    reports: dict[str, GateReport], settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> str:
    judgements = _read(tmp_path_factory.mktemp("reports"), *reports.values())
    return card(MODEL, CHAMPION, judgements, settings)


def _plain(report: GateReport, **changes: Any) -> GateReport:
    """Without what the larger pictures are drawn from: they take their time."""
    return replace(report, details={"cases": 160}, **changes)


def _read(folder: Path, *reports: GateReport, waivers: tuple[Waiver, ...] = ()) -> list[Judgement]:
    paths = []
    for report in reports:
        paths.append(folder / f"{report.gate}.json")
        paths[-1].write_bytes(orjson.dumps(report.as_record()))
    return read_judgements(paths, waivers)


class Page(HTMLParser):
    """Every element that opens, with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))


def test_the_verdict_and_the_summary_come_first_and_failing_gates_before_passing(
    reports: dict[str, GateReport], settings: Settings, tmp_path: Path
) -> None:
    failing = _plain(reports["fairness"], verdict="fail")
    others = [_plain(reports[name]) for name in ("golden", "adversarial")]
    judgements = _read(tmp_path, *others, failing)
    page = card(MODEL, CHAMPION, judgements, settings)
    words = re.sub(r"<style.*?</style>|<[^>]+>", " ", page, flags=re.S)
    order = ["models:/spam/3", "Failed", "fairness fails", "Against the champion", "Gates"]
    places = [words.index(word) for word in order]
    assert places == sorted(places)
    headings = re.findall(r"<h3>(\w+) <span", page)
    assert headings == ["fairness", "golden", "adversarial"]


def test_the_card_tells_what_changed_where_it_comes_from_and_what_the_policy_asks(
    page: str, reports: dict[str, GateReport], settings: Settings, tmp_path: Path
) -> None:
    judgements = _read(tmp_path, *reports.values())
    assert re.search(r"<td>training\.trials<td>10<td>30", page)
    assert re.search(r"<td>commit<td>0ld<td>abc123", page)
    assert "training.seed" not in page, "it did not change"
    for text in ("d41d8c", "sha256:11", "2026-01-05 to 2026-01-06 (2)", "sms, turkish"):
        assert text in page
    for judgement in judgements:
        assert judgement.digest in page
    for name, gate in load_policy(settings.gates.policy):
        assert f"policy owned by {gate.owner}" in page, name
    plain = [_plain(report) for report in reports.values()]
    alone = card(MODEL, None, _read(tmp_path, *plain), settings)
    assert "absolute floors alone decide" in alone
    assert "straight to full traffic" in alone


def test_the_same_reports_give_the_same_bytes_and_every_picture_is_on_the_page(
    page: str, reports: dict[str, GateReport], settings: Settings, tmp_path: Path
) -> None:
    judgements = _read(tmp_path, *reports.values())
    assert page == card(MODEL, CHAMPION, judgements, settings)
    drawn = [name for report in reports.values() for name, _ in pictures(report)]
    assert page.count("<figure") == len(drawn)
    assert set(drawn) == set(PICTURES)


def test_unseen_data_unjudged_slices_and_the_champions_own_figures_are_told(page: str) -> None:
    unseen = page[page.index("On what it never saw") : page.index("Use and limits")]
    assert "zero_shot=corpus" in unseen
    assert "Too few ordinary messages to judge: language=de (80)." in page
    assert "champion 0.876" in page


def test_the_page_stands_alone_and_runs_nothing(page: str) -> None:
    for tag, attributes in Page(page).elements:
        assert tag not in {"script", "link", "iframe", "img", "object", "image"}
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in {"src", "href", "xlink:href"}:
                assert value is not None
                assert value.startswith("#")
    assert "url(http" not in page
    assert "@import" not in page


def test_text_of_reports_is_shown_and_never_becomes_markup(
    reports: dict[str, GateReport], settings: Settings, tmp_path: Path
) -> None:
    hostile = '</text><script>alert(1)</script><img src=x onerror="a">$\\frac{1'
    odd = Metric(
        "recall", 0.5, 40, 0.4, 0.6, 0.9, "at_least", f"language={hostile}", "not_enough_evidence"
    )
    golden = _plain(
        reports["golden"], metrics=(odd,), reasons=(hostile,), datasets=(hostile,),
        suite_version=hostile,
    )  # fmt: skip
    model = replace(MODEL, name=hostile, lineage={**MODEL.lineage, "datasets": [hostile]})
    page = card(model, CHAMPION, _read(tmp_path, golden), settings)
    tags = {tag for tag, _ in Page(page).elements}
    assert not tags & {"script", "img"}
    assert "onerror" not in {name for _, given in Page(page).elements for name in given}
    assert page.count("&lt;script&gt;") >= 5


def test_a_waiver_is_shown_with_signer_end_reason_and_signature(
    reports: dict[str, GateReport], settings: Settings, tmp_path: Path
) -> None:
    passing = [_plain(reports[name]) for name in ("golden", "adversarial")]
    lacking = _plain(reports["fairness"], verdict="not_enough_evidence")
    before = _read(tmp_path, *passing, lacking)
    waiver = Waiver(
        version="models:/spam/3", artefact=f"sha256:{'c' * 64}", gate="fairness",
        report=before[-1].digest, reason="one language <so far>", by="grace",
        signed_at=datetime(2026, 1, 5, tzinfo=UTC), until=date(2026, 1, 7), signature="ab" * 64,
    )  # fmt: skip
    judgements = _read(tmp_path, *passing, lacking, waivers=(waiver,))
    assert verdict(before, settings) == "not_enough_evidence"
    assert verdict(judgements, settings) == "waived"
    page = card(MODEL, CHAMPION, judgements, settings)
    assert "Passed with waivers" in page
    for text in ("Waived until 2026-01-07", "by grace", "one language &lt;so far&gt;", "ab" * 64):
        assert text in page


def test_a_gate_that_is_required_and_did_not_report_is_named(
    reports: dict[str, GateReport], settings: Settings, tmp_path: Path
) -> None:
    page = card(MODEL, CHAMPION, _read(tmp_path, _plain(reports["golden"])), settings)
    assert "No report of adversarial, fairness, which the registry requires" in page


def test_pictures_fit_a_phone_and_take_the_pages_colours(reports: dict[str, GateReport]) -> None:
    for name, picture in pictures(reports["golden"]):
        svg, wide = inline(picture)
        assert not wide, name
        assert "var(--ink)" in svg
        assert 'id="figure_1"' not in svg
