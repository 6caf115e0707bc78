"""A training as an MLflow run, its trials nested in it, with metrics that draw as charts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from training.importance_picture import importance_picture
from training.registry.connection import Connection

if TYPE_CHECKING:
    from mlflow import MlflowClient

IMPORTANCE = "search/importance.png"
_PARENT_RUN = "mlflow.parentRunId"
_STATUS = {"COMPLETE": "FINISHED", "PRUNED": "FINISHED", "FAIL": "FAILED"}


@dataclass
class MlflowTrialLog:
    """Implements `TrialLog`: a nested run a trial, and the best value so far on the parent.

    `maximize` says which way is better. Values that are None (pruned, failed) count for nothing.
    """

    connection: Connection
    experiment_id: str
    run_id: str
    maximize: bool = True
    best: dict[str, float] = field(default_factory=dict, init=False)
    shares: dict[str, Mapping[str, float]] = field(default_factory=dict, init=False)

    def trial(
        self,
        stage: str,
        number: int,
        parameters: Mapping[str, object],
        value: float | None,
        state: str,
    ) -> None:
        """Log one ended trial; `state` is the search's word: COMPLETE, PRUNED or FAIL."""
        with self.connection.client() as client:
            tags = {_PARENT_RUN: self.run_id, "weir.trial_state": state, "weir.stage": stage}
            name = f"{stage} trial {number:03d}"
            run = client.create_run(self.experiment_id, tags=tags, run_name=name)
            values = {} if value is None else {"value": value}
            _log(client, run.info.run_id, parameters, values, step=number)
            client.set_terminated(run.info.run_id, _STATUS.get(state.upper(), "FINISHED"))
            if value is not None:
                self._log_progress(client, stage, number, value)

    def importances(self, stage: str, shares: Mapping[str, float]) -> None:
        """A metric a parameter, and a picture of all stages' importances so far."""
        if not shares:
            return
        self.shares[stage] = shares
        with self.connection.client() as client:
            metrics = {f"importance.{stage}.{name}": share for name, share in shares.items()}
            _log(client, self.run_id, {}, metrics, step=0)
            client.log_figure(self.run_id, importance_picture(self.shares), IMPORTANCE)

    def log(
        self, parameters: Mapping[str, object] | None = None,
        metrics: Mapping[str, float] | None = None, step: int = 0,
    ) -> None:  # fmt: skip
        """Parameters and metrics of the training as a whole."""
        with self.connection.client() as client:
            _log(client, self.run_id, parameters or {}, metrics or {}, step)

    def _log_progress(self, client: MlflowClient, stage: str, number: int, value: float) -> None:
        better = max if self.maximize else min
        self.best[stage] = better(self.best.get(stage, value), value)
        progress = {f"{stage}.trial_value": value, f"{stage}.best_value": self.best[stage]}
        _log(client, self.run_id, {}, progress, step=number)


@contextmanager
def training_run(
    connection: Connection,
    name: str,
    parameters: Mapping[str, object] | None = None,
    tags: Mapping[str, str] | None = None,
    *,
    maximize: bool = True,
) -> Iterator[MlflowTrialLog]:
    """A run of Weir's experiment while the block runs: FINISHED after it, FAILED after an error."""
    with connection.client() as client:
        experiment_id = _experiment(client, connection.experiment)
        run_id = client.create_run(experiment_id, tags=dict(tags or {}), run_name=name).info.run_id
        _log(client, run_id, parameters or {}, {}, step=0)
    try:
        yield MlflowTrialLog(connection, experiment_id, run_id, maximize)
    except BaseException:
        end_run(connection, run_id, "FAILED")
        raise
    end_run(connection, run_id, "FINISHED")


def end_run(connection: Connection, run_id: str, status: str) -> None:
    """Set the run's final status."""
    with connection.client() as client:
        client.set_terminated(run_id, status)


def attach(
    connection: Connection,
    run_id: str,
    *,
    parameters: Mapping[str, object] | None = None,
    metrics: Mapping[str, float] | None = None,
    tags: Mapping[str, str] | None = None,
    texts: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
    datasets: Mapping[str, str] | None = None,
) -> None:
    """Add to a run that may have ended: texts by artifact path, local files by artifact folder.

    `files` maps a local path to the artifact folder it goes to; `datasets` a name to its hash.
    """
    with connection.client() as client:
        _log(client, run_id, parameters or {}, metrics or {}, step=0, tags=tags)
        for path, text in (texts or {}).items():
            client.log_text(run_id, text, path)
        for local, folder in (files or {}).items():
            client.log_artifact(run_id, local, folder)
        if datasets:
            _log_datasets(client, run_id, datasets)


def run_page(connection: Connection, run_id: str) -> str:
    """The run's page in MLflow, relative to wherever MLflow is reached: `#/experiments/…`."""
    run = connection.call("GET", "runs/get", run_id=run_id)["run"]
    return f"#/experiments/{run['info']['experiment_id']}/runs/{run_id}"


def _experiment(client: MlflowClient, name: str) -> str:
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found else client.create_experiment(name))


def _log(
    client: MlflowClient,
    run_id: str,
    parameters: Mapping[str, object],
    metrics: Mapping[str, float],
    step: int,
    tags: Mapping[str, str] | None = None,
) -> None:
    from mlflow.entities import Metric, Param, RunTag

    now = int(time.time() * 1000)
    client.log_batch(
        run_id,
        metrics=[Metric(key, float(value), now, step) for key, value in metrics.items()],
        params=[Param(key, _text(value)) for key, value in parameters.items()],
        tags=[RunTag(key, value) for key, value in (tags or {}).items()],
    )


def _log_datasets(client: MlflowClient, run_id: str, datasets: Mapping[str, str]) -> None:
    from mlflow.entities import Dataset, DatasetInput

    inputs: list[Any] = [
        DatasetInput(Dataset(name, digest[:36], "dvc", json.dumps({"md5": digest})))
        for name, digest in datasets.items()
    ]
    client.log_inputs(run_id, inputs)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
