"""The target for clusters as the configuration names it, and the files that its judge reads.

The judge reads the same two things as on one machine, the gateway's access log and the model
servers' decision records. On a cluster both must lie on a volume that the controller mounts too:
the servers write their records there themselves, the gateway's log is brought by a log agent.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from data_contracts.config import KServe
from data_contracts.errors import ConfigurationError
from serving.rollout.targets.kserve import KServeTarget
from serving.rollout.targets.kserve_cluster import connect
from serving.rollout.targets.kserve_counts import prometheus_counts


def kserve_target(
    settings: KServe, slots: tuple[str, ...], say: Callable[[str], None]
) -> KServeTarget:
    """Raises ConfigurationError where no cluster is known, or a query asks of no pods."""
    counts = prometheus_counts(settings)
    return KServeTarget(settings, slots, connect(settings.namespace), counts, say=say)


def check_evidence(settings: KServe, access_log: Path, decisions: Path) -> None:
    """Raises ConfigurationError where what the judge reads cannot come: it would wait in vain."""
    for key, folder, who in (
        ("access_log", access_log.parent, "the gateway's log agent writes its file"),
        ("decisions", decisions, "the model servers write their records"),
    ):
        if not folder.is_dir():
            raise ConfigurationError(
                f"rollout.kserve.{key} = {getattr(settings, key)}: there is no folder {folder}, "
                f"in which {who}; mount the volume that they share with the controller there"
            )
