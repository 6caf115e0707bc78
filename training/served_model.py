"""What MLflow's pyfunc flavour loads: the ensemble behind MLflow's `predict`.

`mlflow.pyfunc.load_model("models:/spam@champion")` ends here; Weir itself loads the files
directly with `Ensemble.load`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from data_contracts.config import load_settings
from data_contracts.events import parse_event
from data_contracts.protocols import Assessor


@dataclass(frozen=True)
class ServedModel:
    """`predict` takes a column `event` (JSON text) and gives columns `score` and `action`."""

    assessor: Assessor

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> Any:  # noqa: ARG002 - MLflow's interface
        """One row an event; raises ContractViolation for an event that breaks its contract."""
        events = [parse_event(orjson.loads(line)) for line in model_input["event"]]
        assessments = self.assessor.assess(events)
        return pd.DataFrame(
            {
                "score": [assessment.score for assessment in assessments],
                "action": [assessment.action for assessment in assessments],
            }
        )


def _load_pyfunc(data_path: str) -> ServedModel:
    from training.ensemble import Ensemble
    from training.stage_sources import stage_sources

    sources = stage_sources(load_settings())
    return ServedModel(Ensemble.load(Path(data_path), sources=sources))
