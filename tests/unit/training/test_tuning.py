"""A search is seeded, resumes, and reports every trial."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from training.search_space import Value, load_search_space
from training.trials import trial_rows
from training.tuning import NoTrialLog, Search, tune


class KeptLog:
    def __init__(self) -> None:
        self.trials: list[tuple[int, dict[str, object], str]] = []

        self.shares: dict[str, Mapping[str, float]] = {}

    def trial(
        self,
        stage: str,
        number: int,
        parameters: Mapping[str, object],
        value: float | None,
        state: str,
    ) -> None:
        self.trials.append((number, dict(parameters), state))

    def importances(self, stage: str, shares: Mapping[str, float]) -> None:
        self.shares[stage] = shares


SPACE = load_search_space().stages["text"]


def _prefers_many_leaves(chosen: Mapping[str, Value]) -> Iterator[float]:
    yield chosen["prefilter_leaves"] / 100
    yield chosen["prefilter_leaves"] / 50


def _search(folder: Path, trials: int, name: str = "s") -> Search:
    return Search("text", name, folder / f"{name}.journal", trials, seed=1)


def test_the_first_trial_is_the_default_and_the_best_is_found(tmp_path: Path) -> None:
    log = KeptLog()
    found = tune(_search(tmp_path, 8), SPACE, _prefers_many_leaves, log)
    assert log.trials[0][1] == SPACE.default
    assert found.chosen["prefilter_leaves"] == 63
    assert found.value == 63 / 50


def test_a_search_resumes_and_runs_only_what_is_missing(tmp_path: Path) -> None:
    tune(_search(tmp_path, 3), SPACE, _prefers_many_leaves, NoTrialLog())
    log = KeptLog()
    found = tune(_search(tmp_path, 5), SPACE, _prefers_many_leaves, log)
    assert [number for number, _, _ in log.trials] == [3, 4]
    assert found.trials == 5


def test_the_same_seed_searches_the_same_points(tmp_path: Path) -> None:
    logs = [KeptLog(), KeptLog()]
    for name, log in zip("ab", logs, strict=True):
        tune(_search(tmp_path, 6, name), SPACE, _prefers_many_leaves, log)
    assert logs[0].trials == logs[1].trials


def test_a_trial_that_falls_behind_is_pruned_before_it_ends(tmp_path: Path) -> None:
    ended: list[int] = []

    def falling(_: Mapping[str, Value]) -> Iterator[float]:
        value = 1.0 - len(ended) / 10
        ended.append(0)
        yield value
        ended[-1] = 1
        yield value

    log = KeptLog()
    tune(_search(tmp_path, 6), SPACE, falling, log)
    assert [state for _, _, state in log.trials][-1] == "PRUNED"
    assert ended[-1] == 0


def test_what_mattered_is_told(tmp_path: Path) -> None:
    log = KeptLog()
    found = tune(_search(tmp_path, 10), SPACE, _prefers_many_leaves, log)
    assert max(found.importances, key=found.importances.__getitem__) == "prefilter_leaves"
    assert log.shares["text"] == found.importances


def test_a_search_ends_when_its_time_is_over(tmp_path: Path) -> None:
    search = Search("text", "s", tmp_path / "s.journal", 500, 1, seconds=0.2)
    assert tune(search, SPACE, _prefers_many_leaves, NoTrialLog()).trials < 500


def test_trials_see_whole_groups_up_to_the_bound() -> None:
    groups = np.repeat(np.arange(50), 2)
    rows = trial_rows(groups, np.random.default_rng(0), most=20)
    assert len(rows) == 20
    assert len(np.unique(groups[rows])) == 10
    assert (np.diff(rows) > 0).all()
