"""Do the gates stop bad models, and only bad ones? A mutation test with planted defects.

    make bench-gates          (or: python -m tests.performance.bench_gates [--only NAME …])

Every defect of `gate_defects` is trained or built by the project's own training, judged by the
gates under the default policy beside an honest champion, and has to be stopped by the gate that
was declared. Ten honest retrains, each from other rows and another seed, have to pass. Seeds up to
20 were for developing gates and policies (`--develop`: 11 to 20), 21 to 30 are reported. Models and
answers are kept under `{home}/bench-gates` until their sources change; a run that was stopped
goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing import get_context
from typing import Any

import numpy as np
import orjson
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from data_contracts.config import Settings, load_settings
from data_contracts.files import write_atomically
from data_contracts.reports import GateReport
from evaluation.gates import gates
from evaluation.gates.base import Contender
from evaluation.gates.judging import SEED
from evaluation.gates.origin import Origin
from evaluation.gates.policy import Policy, load_policy
from evaluation.gates.score_cache import ScoreCache
from evaluation.gates.suite import Suite
from pipelines.catalogue import dataset
from tests.performance.gate_defects import DEFECTS
from tests.performance.gate_models import Recipe, Workshop, opened_encoder
from tests.performance.gate_report import CONTROL, DEFECT, HONEST, as_text, report_of, row_of
from tests.performance.gate_rows import SETS, material
from tests.performance.gate_suite import suites_for
from tests.performance.provenance import commit

CHAMPION, BASE = Recipe("champion", 0), Recipe("base", 99)
DEVELOPMENT_SEEDS, REPORTED_SEEDS = range(11, 21), range(21, 31)
FIRST_DEFECT_SEED = 101
FOLDER = "bench-gates"
WORKERS = 2


def main() -> int:
    arguments = _arguments()
    settings = load_settings()
    warnings.simplefilter("ignore")
    missing = [name for name in SETS if not (settings.data.root / dataset(name).file).is_file()]
    if missing:
        print(f"{', '.join(missing)} not under {settings.data.root}", file=sys.stderr)
        return 2
    began = time.monotonic()
    seeds = DEVELOPMENT_SEEDS if arguments.develop else REPORTED_SEEDS
    recipes = [one for one in recipes_for(seeds) if _is_wanted(one, arguments.only)]
    rows = list(_judged_all(recipes, arguments.workers, began))
    order = {one.name: at for at, one in enumerate(recipes)}
    rows.sort(key=lambda row: order[row["model"]])
    _write(settings, rows, arguments.develop, began)
    return 0


def recipes_for(seeds: Sequence[int]) -> list[Recipe]:
    """The base without a defect, every defect with a seed of its own, and the honest retrains."""
    broken = [
        Recipe(defect.name, seed, defect) for seed, defect in enumerate(DEFECTS, FIRST_DEFECT_SEED)
    ]
    return [BASE, *broken, *(Recipe(f"honest retrain {seed}", seed) for seed in seeds)]


def _judged_all(recipes: Sequence[Recipe], workers: int, began: float) -> Iterator[dict[str, Any]]:
    """A row a model as they are done, in `workers` processes."""
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for done in [pool.submit(_build, one) for one in (CHAMPION, BASE)]:
            _say(began, f"{done.result()} is there")
        honest_first = sorted(recipes, key=lambda one: one.defect is not None)
        pending = [pool.submit(_judged, one) for one in honest_first]
        for number, future in enumerate(as_completed(pending), 1):
            row = future.result()
            by = ", ".join(row["stopped_by"]) or "passes"
            took = f"{row['built_seconds']} s built, {row['judged_seconds']} s judged"
            _say(began, f"{number}/{len(pending)} {row['model']}: {by} ({took})")
            yield row


@dataclass(frozen=True)
class _Bench:
    """What every judgement of one process shares."""

    workshop: Workshop
    policy: Policy
    suites: Mapping[str, Suite]
    notes: Sequence[str]
    champion: Contender


@cache
def _workshop() -> Workshop:
    """Of this process; its encoder's cache is closed with it."""
    warnings.simplefilter("ignore")
    threadpool_limits(1)
    settings = load_settings()
    encoder = opened_encoder(settings).__enter__()
    return Workshop(settings, material(settings), encoder, settings.home / FOLDER / "models")


@cache
def _bench() -> _Bench:
    workshop = _workshop()
    settings = workshop.settings
    policy = load_policy(settings.gates.policy)
    champion = _contender(workshop, CHAMPION)
    suites, notes = suites_for(workshop.given, champion.assessor, policy, settings)
    return _Bench(workshop, policy, suites, notes, champion)


def _build(recipe: Recipe) -> str:
    return _workshop().model(recipe, BASE).name


def _contender(workshop: Workshop, recipe: Recipe) -> Contender:
    model = workshop.model(recipe, BASE)
    answers = workshop.settings.home / FOLDER / "answers" / f"{model.name}.sqlite"
    return Contender(model.name, ScoreCache(model, answers), Origin.of(model.ensemble))


def _judged(recipe: Recipe) -> dict[str, Any]:
    bench = _bench()
    began = time.monotonic()
    model = _contender(bench.workshop, recipe)
    built = time.monotonic()
    timed = {name: _report(name, model, bench) for name in gates(bench.policy)}
    reports = {name: report for name, (report, _) in timed.items()}
    defect = recipe.defect
    kind = DEFECT if defect else CONTROL if recipe == BASE else HONEST
    return row_of(
        recipe.name, kind, defect.gate if defect else None, defect.harm if defect else "",
        {name: report.verdict for name, report in reports.items()},
        {name: report.reasons for name, report in reports.items()},
        artefact=model.name,
        suites={name: report.suite_version for name, report in reports.items()},
        cases={name: len(suite.cases) for name, suite in bench.suites.items()},
        notes=list(bench.notes),
        seconds_by_gate={name: round(spent, 1) for name, (_, spent) in timed.items()},
        metrics={name: _judged_figures(report) for name, report in reports.items()},
        built_seconds=round(built - began, 1),
        judged_seconds=round(time.monotonic() - built, 1),
    )  # fmt: skip


def _judged_figures(report: GateReport) -> list[dict[str, Any]]:
    return [asdict(metric) for metric in report.metrics if metric.verdict is not None]


def _report(name: str, model: Contender, bench: _Bench) -> tuple[GateReport, float]:
    """One gate's report, and the seconds that it took."""
    gate, began = gates(bench.policy)[name], time.monotonic()
    rng = np.random.default_rng(SEED)
    report = gate.judge(bench.suites[name], model, bench.champion, rng)
    return report, time.monotonic() - began


def _write(
    settings: Settings, rows: Sequence[dict[str, Any]], is_development: bool, began: float
) -> None:
    from tests.performance.gate_picture import draw

    facts = {
        "commit": commit(),
        "seconds": round(time.monotonic() - began, 1),
        "policy": settings.gates.policy.name,
        "development": is_development,
    }
    report = report_of(rows, list(gates(load_policy(settings.gates.policy))), facts)
    name = "bench-gates-development" if is_development else "bench-gates"
    path = settings.reports / f"{name}.json"
    write_atomically(path, orjson.dumps(report, option=orjson.OPT_INDENT_2))
    picture = draw(report, path.with_suffix(".svg"))
    print(as_text(report))
    print(f"\n{path}\n{picture}")


def _is_wanted(recipe: Recipe, only: Sequence[str] | None) -> bool:
    return not only or any(word in recipe.name for word in only)


def _say(began: float, message: str) -> None:
    print(f"{time.monotonic() - began:7.1f} s  {message}", file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", action="append", help="models whose name has this in it")
    parser.add_argument("--develop", action="store_true", help="honest seeds that are not reported")
    parser.add_argument("--workers", type=int, default=WORKERS, help=f"(default: {WORKERS})")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
