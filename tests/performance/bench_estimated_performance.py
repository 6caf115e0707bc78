"""Precision and recall estimated before labels come, against what labels say, under drift.

    make bench-estimated-performance  (or: python -m tests.performance.bench_estimated_performance)

Real texts of four sets in three languages are replayed (`estimation_replay`): one classifier a
seed, six scenarios, ten windows each of 4,000 events, an audit of 450 draws a window whose labels
are late. Each window is estimated when it closes, from its scores and the labels known by then,
which are of texts that no window is judged on. `realised` is the truth of all 4,000.

The parameters of the estimate were fixed on the translated SMS sets (`--development`, seeds 0 to
5). The sizes of these replays were chosen on seeds 0 to 3 of the sets reported here, where variants
of the estimate were looked at as well; seeds from 100 on are fresh. After the first run on them two
mistakes were mended: the fit could diverge (one window of 360, flagged), and the audit's values
ignored that labels of blocked events come later. Development's own windows hold some 250 to 350
spam, and a realised precision there is sure to 0.02 only: flags cannot find the worst errors of it.

A window is flagged at once, or at the next window's close when labels contradict the estimates
since: a change of meaning leaves no trace in scores, so no method without labels sees it at once.
Most errors lie within what a realised value itself is sure of, so ranks below the few large ones
are chance: the goal asks for the worst twentieth of the windows, and other shares stand beside it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from scipy.stats import spearmanr

from data_contracts.config import Settings, load_settings
from data_contracts.files import write_atomically
from evaluation.metrics import Booleans, Estimate, Floats
from evaluation.monitoring.performance_estimation import counted
from pipelines.catalogue import read_labelled
from tests.performance.estimation_replay import (
    DRIFT_FROM,
    SCENARIOS,
    Replay,
    Sizes,
    Stage,
    corpus_of,
)
from tests.performance.estimation_rivals import (
    LAST_AUDITED,
    RIVALS,
    WEIR,
    WITHOUT_LABELS,
    Said,
    own,
)
from tests.performance.provenance import commit

FIGURES = ("precision", "recall")
FIRST_SEED, SEEDS = 100, 6
ERROR_GOAL, FLAGGED_GOAL, WORST_GOAL = 0.02, 0.10, 0.5
WORST = 0.05  # of the windows: the worst errors
_SMS, _TEXT = "text_sms_multilingual_", "text_"
REPORTED = Sizes(
    training=2500, reference=2000, auditable=4500, window=4000, draws=450,
    prevalence=(0.3, 0.42),
    mixes=(
        {f"{_TEXT}telegram_chinese": 0.65, f"{_TEXT}sms_turkish": 0.15,
         f"{_TEXT}spamassassin": 0.2},
        {f"{_TEXT}telegram_chinese": 0.4, f"{_TEXT}sms_turkish": 0.22,
         f"{_TEXT}spamassassin": 0.38},
    ),
    unseen=f"{_TEXT}youtube_spam", planted=0.1, family=900, changed=1200,
)  # fmt: skip
DEVELOPMENT = Sizes(
    training=1500, reference=1500, auditable=1500, window=2500, draws=300,
    prevalence=(0.1, 0.14),
    mixes=(
        {f"{_SMS}en": 1 / 3, f"{_SMS}de": 1 / 3, f"{_SMS}fr": 1 / 3},
        {f"{_SMS}en": 0.2, f"{_SMS}de": 0.35, f"{_SMS}fr": 0.45},
    ),
    unseen=f"{_SMS}hi", planted=0.06, family=110, changed=180,
)  # fmt: skip


def main() -> int:
    """Replay, print the table, write the report and its picture."""
    given, settings, began = _arguments(), load_settings(), time.monotonic()
    sizes, first = (DEVELOPMENT, 0) if given.development else (REPORTED, FIRST_SEED)
    seeds = list(range(first, first + given.seeds))
    windows = [row for replay in replays(sizes, seeds, settings) for row in judged(replay)]
    report = {
        "name": "estimated-performance", "commit": commit(),
        "seconds": round(time.monotonic() - began, 1), "seeds": seeds, "drift_from": DRIFT_FROM,
        "sets": [*sizes.mixes[0], sizes.unseen], "development": given.development,
        "rows": [*rows_of(windows)], "reliability": reliability(windows), "windows": windows,
    }  # fmt: skip
    _write(settings, report | {"goals": goals(report)}, development=given.development)
    return 0


def replays(sizes: Sizes, seeds: Sequence[int], settings: Settings) -> Iterable[Replay]:
    """Every scenario of every seed."""
    names = [*sizes.mixes[0], sizes.unseen]
    _say(f"reading and grouping {', '.join(names)}")
    corpus = corpus_of(
        [row for name in names for row in read_labelled(name, settings.data, settings.cache)]
    )
    for seed in seeds:
        _say(f"seed {seed}")
        stage = Stage(corpus, sizes, seed)
        yield from (stage.replay(scenario) for scenario in SCENARIOS)


def judged(replay: Replay) -> list[dict[str, Any]]:
    """A row a window: what each way said, and what was realised."""
    ours, without = own(replay), own(replay, with_labels=False)
    at_once, flagged = ours.flagged_at_once(), ours.flagged()
    rows = []
    for number, (window, estimate) in enumerate(zip(replay.windows, ours.estimates, strict=True)):
        found = counted(window.is_spam, window.scored.positive)
        scores_only = without.estimates[number]
        said: dict[str, Said] = {name: way(replay, number) for name, way in RIVALS.items()}
        said[WITHOUT_LABELS] = (_value(scores_only.precision), _value(scores_only.recall))
        said[WEIR] = (_value(estimate.precision), _value(estimate.recall))
        acted, spam = int(window.scored.positive.sum()), int(window.is_spam.sum())
        rows.append({
            "scenario": replay.scenario, "seed": replay.seed, "window": number,
            "realised": {"precision": found.precision, "recall": found.recall},
            "of": {"precision": acted, "recall": spam},
            "said": {name: dict(zip(FIGURES, both, strict=True)) for name, both in said.items()},
            "last_audited": dict(zip(FIGURES, said[LAST_AUDITED], strict=True)),
            "estimate": {
                "precision": _plain(estimate.precision), "recall": _plain(estimate.recall),
            },
            "flagged": bool(flagged[number]), "flagged_at_once": bool(at_once[number]),
            "reasons": list(estimate.reasons), "unseen": estimate.unseen,
        })  # fmt: skip
    return rows


def rows_of(windows: Sequence[Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    """Mean absolute error of each way and figure: all, unflagged, and by scenario."""
    flagged = np.array([row["flagged"] for row in windows])
    scenarios = np.array([row["scenario"] for row in windows])
    for name in (*RIVALS, WITHOUT_LABELS, WEIR):
        for figure in FIGURES:
            errors = _errors(windows, name, figure)
            yield {
                "method": name, "figure": figure, "windows": len(errors),
                "mean_absolute_error": float(errors.mean()),
                "unflagged": float(errors[~flagged].mean()),
                "ninth_decile": float(np.quantile(errors, 0.9)),
                "largest": float(errors.max()),
                "by_scenario": {
                    one: float(errors[scenarios == one].mean()) for one in SCENARIOS
                },
            }  # fmt: skip


def reliability(windows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of our estimates: how many are flagged, whether these are the worst, what intervals hold."""
    worse = np.max([_errors(windows, WEIR, figure) for figure in FIGURES], axis=0)
    flagged = np.array([row["flagged"] for row in windows])
    at_once = np.array([row["flagged_at_once"] for row in windows])
    return {
        "flagged": float(flagged.mean()), "flagged_at_once": float(at_once.mean()),
        "error_flagged": float(worse[flagged].mean()) if flagged.any() else None,
        "error_unflagged": float(worse[~flagged].mean()),
        "worst_flagged": _share_flagged(worse, flagged, WORST),
        "worst_flagged_at_once": _share_flagged(worse, at_once, WORST),
        "worst_decile_flagged": _share_flagged(worse, flagged, 0.1),
        "as_many_worst_flagged": _share_flagged(worse, flagged, float(flagged.mean())),
        "largest_unflagged": float(worse[~flagged].max()),
        "rank_correlation": float(spearmanr(flagged, worse).statistic) if flagged.any() else None,
        "rank_correlation_of_width": float(spearmanr(_widths(windows), worse).statistic),
        "coverage": {figure: _coverage(windows, figure) for figure in FIGURES},
        "realised_standard_error": {figure: _own_error(windows, figure) for figure in FIGURES},
    }  # fmt: skip


def goals(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """As the issue asks: over all windows, flagged ones included."""
    found, sure = [], report["reliability"]
    for row in report["rows"]:
        if row["method"] == WEIR:
            statement = f"{row['figure']}: mean absolute error of the estimate, all windows"
            error = row["mean_absolute_error"]
            found.append(
                _goal(row["figure"], statement, f"< {ERROR_GOAL}", error, error < ERROR_GOAL)
            )
    share, worst = sure["flagged"], sure["worst_flagged"]
    return [
        *found,
        _goal("flagged", "windows flagged as unreliable", f"<= {FLAGGED_GOAL:.0%}", share,
              share <= FLAGGED_GOAL),
        _goal("worst", f"of the worst {WORST:.0%} of the errors, flagged", f">= {WORST_GOAL:.0%}",
              worst, worst >= WORST_GOAL),
    ]  # fmt: skip


def _goal(name: str, statement: str, target: str, measured: float, met: bool) -> dict[str, Any]:
    return {
        "id": f"estimated-performance.{name}", "statement": statement, "target": target,
        "measured": round(measured, 4), "met": bool(met),
    }  # fmt: skip


def _errors(windows: Sequence[Mapping[str, Any]], name: str, figure: str) -> Floats:
    """float64[windows]; a way that says nothing is as wrong as can be."""
    pairs = [(row["said"][name][figure], row["realised"][figure]) for row in windows]
    return np.array([1.0 if said is None else abs(said - true) for said, true in pairs])


def _share_flagged(errors: Floats, flagged: Booleans, share: float) -> float:
    worst = np.argsort(-errors, kind="stable")[: max(1, round(share * len(errors)))]
    return float(flagged[worst].mean())


def _widths(windows: Sequence[Mapping[str, Any]]) -> Floats:
    spans = [[row["estimate"][name] for name in FIGURES] for row in windows]
    return np.array([max(one["high"] - one["low"] for one in both) for both in spans])


def _coverage(windows: Sequence[Mapping[str, Any]], figure: str) -> float:
    held = [
        row["estimate"][figure]["low"] <= row["realised"][figure] <= row["estimate"][figure]["high"]
        for row in windows
    ]
    return float(np.mean(held))


def _own_error(windows: Sequence[Mapping[str, Any]], figure: str) -> float:
    """Mean standard error of a realised share, as if its events were drawn anew."""
    shares = np.array([row["realised"][figure] for row in windows])
    of = np.array([row["of"][figure] for row in windows])
    return float(np.sqrt(shares * (1 - shares) / of).mean())


def _value(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.value


def _plain(estimate: Estimate | None) -> dict[str, float]:
    if estimate is None:
        raise ValueError("a window has too few events for an estimate; make windows larger")
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _write(settings: Settings, report: Mapping[str, Any], *, development: bool) -> None:
    from tests.performance.estimation_picture import draw

    name = "bench-estimated-performance" + ("-development" if development else "")
    path = settings.reports / f"{name}.json"
    write_atomically(path, orjson.dumps(report, option=orjson.OPT_INDENT_2))
    print(as_text(report))
    print(f"\n{path}\n{draw(report, path.with_suffix('.svg'))}")


def as_text(report: Mapping[str, Any]) -> str:
    """The table for people."""
    heads = "".join(f"{name:>14}" for name in SCENARIOS)
    lines = [f"{'mean absolute error':<26}{'figure':<11}{'all':>8}{'unflagged':>11}{heads}"]
    lines += [
        f"{row['method']:<26}{row['figure']:<11}{row['mean_absolute_error']:>8.4f}"
        f"{row['unflagged']:>11.4f}"
        + "".join(f"{row['by_scenario'][name]:>14.4f}" for name in SCENARIOS)
        for row in report["rows"]
    ]
    sure = report["reliability"]
    own_error, held = sure["realised_standard_error"], sure["coverage"]
    lines += [
        "",
        f"{len(report['windows'])} windows; a realised value's own standard error: precision "
        f"{own_error['precision']:.4f}, recall {own_error['recall']:.4f}",
        f"intervals of 95 % hold the realised value: precision {held['precision']:.1%}, recall "
        f"{held['recall']:.1%}",
        f"flagged {sure['flagged']:.1%} ({sure['flagged_at_once']:.1%} at once); worse of both "
        f"errors: flagged {sure['error_flagged'] or 0:.4f}, unflagged "
        f"{sure['error_unflagged']:.4f}, largest unflagged {sure['largest_unflagged']:.4f}",
        f"of the worst {WORST:.0%} flagged: {sure['worst_flagged']:.0%} "
        f"({sure['worst_flagged_at_once']:.0%} at once); of the worst tenth: "
        f"{sure['worst_decile_flagged']:.0%}; of as many as are flagged: "
        f"{sure['as_many_worst_flagged']:.0%}; rank correlation of error with width "
        f"{sure['rank_correlation_of_width']:.2f}",
        "",
    ]
    lines += [
        f"  {'met' if goal['met'] else 'NOT MET':<8}{goal['statement']} ({goal['target']}): "
        f"{goal['measured']}"
        for goal in report["goals"]
    ]
    return "\n".join(lines)


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=SEEDS, help="replays of each scenario")
    parser.add_argument(
        "--development", action="store_true", help="on the sets that the parameters were fixed on"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
