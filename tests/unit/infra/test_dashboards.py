"""Dashboards are complete, and every query in them parses and names metrics that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_contracts.config import PROJECT
from tests.prometheus_names import RUNBOOK, foreign, known, mistakes, named, rules, sections
from tests.promtool import NEEDED, promtool

FOLDER = PROJECT / "infra" / "dashboards"
FILES = sorted(FOLDER.glob("*.json"))
VARIABLES = {"$__rate_interval": "5m", "$instance": ".*"}


def dashboard(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def queries(path: Path) -> list[str]:
    """As Grafana sends them."""
    found = [target["expr"] for panel in dashboard(path)["panels"] for target in panel["targets"]]
    for name, value in VARIABLES.items():
        found = [query.replace(name, value) for query in found]
    return found


def test_there_is_a_dashboard_for_each_concern_and_none_shares_its_address() -> None:
    names = [dashboard(path)["uid"] for path in FILES]
    assert names == [
        "weir-admission", "weir-business", "weir-cascade", "weir-model", "weir-records",
        "weir-serving", "weir-system",
    ]  # fmt: skip
    assert [path.stem for path in FILES] == names


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_panels_have_titles_units_and_a_place_of_their_own(path: Path) -> None:
    panels = dashboard(path)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        assert panel["targets"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert all(target["legendFormat"] for target in panel["targets"])
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not cells & taken
        taken |= cells


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_queries_name_only_metrics_and_labels_that_servers_have(path: Path) -> None:
    assert not [mistake for query in queries(path) for mistake in mistakes(query)]
    assert not [query for query in queries(path) if "$" in query]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_dashboard_asks_the_prometheus_that_the_reader_chooses(path: Path) -> None:
    content = dashboard(path)
    (variable,) = [one for one in content["templating"]["list"] if one["type"] == "datasource"]
    chosen = {"type": "prometheus", "uid": "${" + variable["name"] + "}"}
    asking = [*content["panels"], *content["annotations"]["list"]]
    asking += [target for panel in content["panels"] for target in panel["targets"]]
    assert all(one["datasource"] == chosen for one in asking)


@pytest.mark.parametrize("name", ["weir-system", "weir-business", "weir-model"])
def test_every_panel_says_what_to_do_next(name: str) -> None:
    known_sections = sections(RUNBOOK.read_text())
    for panel in dashboard(FOLDER / f"{name}.json")["panels"]:
        _, _, anchor = panel["description"].partition("Next step: infra/alerts/runbook.md#")
        assert anchor.removesuffix(".") in known_sections, panel["title"]


def test_what_others_export_names_its_source() -> None:
    assert all(about["source"].startswith("https://") for about in foreign().values())


@NEEDED
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_prometheus_parses_every_query(path: Path, tmp_path: Path) -> None:
    recorded = [{"record": f"q{n}", "expr": query} for n, query in enumerate(queries(path))]
    rules = tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": recorded}]}))
    assert f"{len(recorded)} rules found" in promtool("check", "rules", str(rules))


def test_every_metric_is_shown_or_watched() -> None:
    expressions = [query for path in FILES for query in queries(path)]
    expressions += [rule["expr"] for rule in rules()]
    asked = {base(name) for expression in expressions for name in named(expression)}
    assert {base(name) for name in known()} == asked


def base(name: str) -> str:
    return re.sub("_(bucket|sum|count)$", "", name)
