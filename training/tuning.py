"""The one door to Optuna: a seeded search that resumes from its journal and prunes weak trials.

Akiba et al. 2019, "Optuna" (KDD); Bergstra et al. 2011 for TPE; Hutter et al. 2014 for the
importance of hyperparameters (fANOVA).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_contracts.protocols import TrialLog
from training.search_space import Space, Suggests, Value

Objective = Callable[[Mapping[str, Value]], Iterator[float]]
STARTUP_TRIALS = 4
FEWEST_FOR_IMPORTANCE = 4


@dataclass(frozen=True)
class Search:
    """One stage's search. `name` identifies the study: the same data and space resume it.

    `trials` counts all, also those of earlier runs; `seconds` bounds this one.
    """

    stage: str
    name: str
    journal: Path
    trials: int
    seed: int
    seconds: float | None = None


@dataclass(frozen=True)
class Found:
    """The best parameters with their value, how many trials stand in the journal, and the part
    of each parameter in the differences between trials (0 to 1; empty where these are too few).
    """

    chosen: Mapping[str, Value]
    value: float
    trials: int
    importances: Mapping[str, float] = field(default_factory=dict)


class NoTrialLog:
    """Trials are not recorded elsewhere."""

    def trial(
        self,
        stage: str,
        number: int,
        parameters: Mapping[str, object],
        value: float | None,
        state: str,
    ) -> None:
        """Nothing."""

    def importances(self, stage: str, shares: Mapping[str, float]) -> None:
        """Nothing."""


def tune(search: Search, space: Space, objective: Objective, log: TrialLog) -> Found:
    """Run the trials that are still missing; the first is always the space's default.

    `objective` yields a value after each step of a trial, the last being the trial's value;
    higher is better. A trial that falls behind the median of others is pruned between steps.
    """
    import optuna
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = _study(search)
    if not study.trials:
        study.enqueue_trial(space.default)
    done = sum(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in study.trials)

    def record(_: Any, trial: Any) -> None:
        log.trial(search.stage, trial.number, trial.params, trial.value, trial.state.name)

    study.optimize(
        lambda trial: _value(trial, space, objective), n_trials=max(search.trials - done, 0),
        timeout=search.seconds, callbacks=[record],
    )  # fmt: skip
    best = study.best_trial
    importances = _importances(study)
    log.importances(search.stage, importances)
    return Found(best.params, float(best.value), len(study.trials), importances)


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


def _value(trial: Any, space: Space, objective: Objective) -> float:
    import optuna

    value = 0.0
    suggestion: Suggests = trial
    for step, value in enumerate(objective(space.suggest(suggestion))):
        trial.report(value, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return value


def _importances(study: Any) -> dict[str, float]:
    import optuna
    from optuna.trial import TrialState

    complete = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    if len(complete) < FEWEST_FOR_IMPORTANCE or len({trial.value for trial in complete}) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in found.items()}
