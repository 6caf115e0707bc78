"""Runs a flow on this machine with kfp.local: conditions, retries and outputs are kfp's own.

Two things of kfp.local 2.17 are put aside. Its SubprocessRunner refuses container components, since
it has no container to run them in; ours run the platform's command line, which this machine has.
And its conditions find no task output that is not named `Output`; ours is named `outcome`. The
tasks are those of the compiled pipeline. Volumes, secrets and resources are a cluster's only.
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any
from unittest import mock

from data_contracts.config import PROJECT, Settings
from data_contracts.errors import WeirError
from infra.kubeflow.pipeline import OUTCOME, Place, flow_named, pipeline_of


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Raises WeirError where a task failed for good; its cause is in the lines above."""
    from kfp import local
    from kfp.local.orchestrator.enhanced_dag_orchestrator import ConditionEvaluator
    from kfp.local.subprocess_task_handler import SubprocessTaskHandler

    warnings.simplefilter("ignore")  # that volumes and secrets do nothing here is said above
    python = str(PROJECT / settings.orchestration.platform_python)
    here = Place("the python of this machine", python, {"WEIR_HOME": str(settings.home)})
    local.init(
        local.SubprocessRunner(use_venv=False), pipeline_root=str(settings.home / "kubeflow")
    )
    flow = pipeline_of(flow_named(arguments.flow), here, settings)
    with (
        mock.patch.object(SubprocessTaskHandler, "validate_not_container_component"),
        mock.patch.object(ConditionEvaluator, "_resolve_pipeline_channel", outcome_in),
    ):
        try:
            flow(**dict(arguments.parameter))
        except RuntimeError as error:
            raise WeirError(f"{arguments.flow}: {error}") from None
    return {"flow": arguments.flow}


def outcome_in(channel: str, store: Any) -> Any:
    """The outcome of a task, by the name that a condition gives it."""
    task = channel.removeprefix("pipelinechannel--").removesuffix(f"-{OUTCOME}")
    return store.get_task_output(task, OUTCOME)
