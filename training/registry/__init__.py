"""The one door to MLflow: runs and trials, versions and aliases, artefacts in and out.

MLflow takes seconds to import, so it is imported only when a call needs it.
"""

from training.registry.artefact import log_version
from training.registry.connection import (
    READER,
    REVIEWER,
    TRAINER,
    Connection,
    NotInRegistry,
    connect,
)
from training.registry.download import download
from training.registry.training_run import MlflowTrialLog, attach, run_page, training_run
from training.registry.versions import (
    CHALLENGER,
    CHAMPION,
    ModelVersion,
    all_versions,
    champion_version,
    describe,
    drop_alias,
    drop_tag,
    find_version,
    get_version,
    set_alias,
    set_tags,
)

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "READER",
    "REVIEWER",
    "TRAINER",
    "Connection",
    "MlflowTrialLog",
    "ModelVersion",
    "NotInRegistry",
    "all_versions",
    "attach",
    "champion_version",
    "connect",
    "describe",
    "download",
    "drop_alias",
    "drop_tag",
    "find_version",
    "get_version",
    "log_version",
    "run_page",
    "set_alias",
    "set_tags",
    "training_run",
]
