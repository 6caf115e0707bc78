"""The one door to Optuna: a seeded search that resumes from its journal and prunes weak trials.

Akiba et al. 2019, "Optuna" (KDD); Bergstra et al. 2011 for TPE.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_contracts.protocols import TrialLog
from training.search_space import DEFAULT, Suggests, parameters_of, suggest
from training.stacking import Parameters

Objective = Callable[[Parameters], Iterator[float]]
STARTUP_TRIALS = 4


@dataclass(frozen=True)
class Search:
    """`name` identifies the study: the same data and space resume it. `trials` counts all."""

    name: str
    journal: Path
    trials: int
    seed: int


@dataclass(frozen=True)
class Found:
    """The best parameters, as chosen, with the value, and how many trials stand in the journal."""

    parameters: Parameters
    chosen: Mapping[str, float | int]
    value: float
    trials: int


class NoTrialLog:
    """Trials are not recorded elsewhere."""

    def trial(
        self, number: int, parameters: Mapping[str, object], value: float | None, state: str
    ) -> None:
        """Nothing."""


def tune(search: Search, objective: Objective, log: TrialLog) -> Found:
    """Run the trials that are still missing; the first is always DEFAULT.

    `objective` yields a value after each step of a trial, the last being the trial's value;
    higher is better. A trial that falls behind the median of others is pruned between steps.
    """
    import optuna
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = _study(search)
    if not study.trials:
        study.enqueue_trial(dict(DEFAULT))
    done = sum(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in study.trials)

    def record(_: Any, trial: Any) -> None:
        log.trial(trial.number, trial.params, trial.value, trial.state.name)

    study.optimize(
        lambda trial: _value(trial, objective), n_trials=max(search.trials - done, 0),
        callbacks=[record],
    )  # fmt: skip
    best = study.best_trial
    return Found(parameters_of(best.params), best.params, float(best.value), len(study.trials))


def _study(search: Search) -> Any:
    import optuna
    from optuna.storages.journal import JournalFileBackend

    search.journal.parent.mkdir(parents=True, exist_ok=True)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(search.journal)))
    sampler = optuna.samplers.TPESampler(seed=search.seed, n_startup_trials=STARTUP_TRIALS)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS)
    return optuna.create_study(
        study_name=search.name, storage=storage, sampler=sampler, pruner=pruner,
        direction="maximize", load_if_exists=True,
    )  # fmt: skip


def _value(trial: Any, objective: Objective) -> float:
    import optuna

    value = 0.0
    suggestion: Suggests = trial
    for step, value in enumerate(objective(suggest(suggestion))):
        trial.report(value, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return value
