"""`python -m evaluation card`: one self-contained page that a reviewer reads in five minutes.

Mitchell et al. 2019, "Model Cards for Model Reporting". Everything on it comes from the gates'
reports, the model's lineage, the policy and the configuration; text of theirs is escaped, and the
pictures are drawn here from the reports' figures.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from data_contracts.config import Settings
from data_contracts.errors import BadInput
from data_contracts.files import write_atomically
from evaluation.card_sections import interval, section
from evaluation.card_subject import Subject, champion_subject, changes, subject
from evaluation.gates.policy import load_policy
from training.gate_evidence import overall
from training.gate_reports import CARD, Judgement, read_judgements, three_digits
from training.waivers import read_waiver

TEMPLATE = Path(__file__).with_name("model_card.html.j2")
VERDICTS = ("fail", "not_enough_evidence", "waived", "pass")
OVER_CHAMPION = "_over_champion"
UNSEEN = ("zero_shot=", "time=")  # slices of the golden gate
HEADLINES = {
    "passed": "Passed",
    "waived": "Passed with waivers",
    "failed": "Failed",
    "not_enough_evidence": "Not enough evidence",
}
SAYS = {
    "pass": "passes", "fail": "fails", "waived": "is waived",
    "not_enough_evidence": "lacks evidence",
}  # fmt: skip


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Write `{home}/reports/gates/{model}/model_card.html`; the same inputs, the same bytes."""
    waivers = [read_waiver(path) for path in arguments.waiver]
    judgements = read_judgements(arguments.gate, waivers)
    model = subject(arguments.model, settings)
    for judgement in judgements:
        if judgement.model != model.ensemble:
            raise BadInput(
                f"{judgement.path} judged {judgement.model}, {model.name} is {model.ensemble}; "
                "give the reports of this model"
            )
    champion = champion_subject(arguments.champion, settings)
    path = settings.reports / "gates" / model.ensemble / CARD
    write_atomically(path, card(model, champion, judgements, settings).encode("utf-8"))
    return {"card": str(path), "gates": verdict(judgements, settings)}


def card(
    model: Subject, champion: Subject | None, judgements: Sequence[Judgement], settings: Settings
) -> str:
    """The page. Raises BadInput that names a report whose figures are not those of a report."""
    policy = load_policy(settings.gates.policy)
    before = None if champion is None or champion.ensemble == model.ensemble else champion
    chosen = sorted(judgements, key=lambda judgement: VERDICTS.index(judgement.verdict))
    gates = [section(judgement, policy) for judgement in chosen]
    rows = [row for gate in gates for row in gate["rows"]]
    judged = {judgement.gate for judgement in judgements}
    word = verdict(judgements, settings)
    return _template().render(
        model=model,
        champion=before,
        word=word,
        headline=HEADLINES[word],
        missing=[gate for gate in settings.registry.required_gates if gate not in judged],
        summary=list(_summary(model, before, judgements)),
        tiles=list(_tiles(judgements)),
        gates=gates,
        ahead=[row for row in rows if OVER_CHAMPION in row["name"] and _is_telling(row)],
        changes=list(changes(model, before)) if before else [],
        unseen=[row for row in rows if any(word in row["slice"] for word in UNSEEN)],
        unjudged=sorted(_unjudged(rows)),
        datasets=sorted({name for j in judgements for name in j.record["datasets"]}),
        settings=settings,
    )


def verdict(judgements: Sequence[Judgement], settings: Settings) -> str:
    """`passed`, `waived` (passed with waivers), `failed` or `not_enough_evidence`."""
    said = {judgement.gate: judgement.verdict for judgement in judgements}
    word = overall(said, settings.registry.required_gates)
    return "waived" if word == "passed" and "waived" in said.values() else word


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["words"] = lambda text: str(text).replace("_", " ")
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))


def _summary(
    model: Subject, champion: Subject | None, judgements: Sequence[Judgement]
) -> Iterator[str]:
    said = ", ".join(f"{judgement.gate} {SAYS[judgement.verdict]}" for judgement in judgements)
    yield f"{model.name} ({model.ensemble}) was judged by {len(judgements)} gates: {said}."
    found = {name: _of_all(judgements, name) for name in ("recall", "false_positive_rate")}
    if all(found.values()):
        caught, blocked = (_share(metric) for metric in found.values() if metric)
        yield f"It catches {caught} of the spam and stops {blocked} of the ordinary messages."
    if champion is None:
        yield "No champion to compare with: absolute floors alone decide."
        return
    ahead = _of_all(judgements, f"average_precision{OVER_CHAMPION}")
    told = ""
    if ahead:
        told = f"; average precision moves by {three_digits(ahead['value'])} ({interval(ahead)})"
    yield f"It would replace {champion.name} ({champion.ensemble}){told}."


def _tiles(judgements: Sequence[Judgement]) -> Iterator[dict[str, Any]]:
    names = {"recall": "spam caught", "false_positive_rate": "ordinary stopped"}
    for name, label in names.items():
        metric = _of_all(judgements, name)
        if metric is not None:
            between = f"{_percent(metric['low'])} to {_percent(metric['high'])}"
            yield {
                "label": label, "value": _percent(metric["value"]), "n": metric["sample_size"],
                "interval": between,
            }  # fmt: skip


def _of_all(judgements: Sequence[Judgement], name: str) -> Mapping[str, Any] | None:
    """The golden gate's figure over everything that it judged, where it has an interval."""
    for judgement in judgements:
        for metric in judgement.record["metrics"]:
            whole = metric.get("slice", "all") == "all" and metric.get("low") is not None
            if judgement.gate == "golden" and metric["name"] == name and whole:
                return dict(metric)
    return None


def _share(metric: Mapping[str, Any]) -> str:
    low, high = _percent(metric["low"]), _percent(metric["high"])
    return f"{_percent(metric['value'])} ({low} to {high}, n={metric['sample_size']})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def _is_telling(row: Mapping[str, Any]) -> bool:
    """Over everything, or not as good as asked."""
    return row["slice"] == "all" or row["verdict"] not in (None, "pass")


def _unjudged(rows: Sequence[Mapping[str, Any]]) -> set[tuple[str, int]]:
    """Slice and ordinary messages of each slice of which no gate judged any figure."""
    judged = {row["slice"] for row in rows if row["verdict"] is not None}
    return {
        (row["slice"], row["n"])
        for row in rows
        if row["name"] == "false_positive_rate" and "=" in row["slice"]
        and row["slice"] not in judged
    }  # fmt: skip
