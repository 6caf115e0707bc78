"""The judge's evidence on a cluster: the same reader over what Envoy Gateway's proxies write.

Each proxy has an access log in a folder of its own, and names a route by its place in the
HTTPRoute (`httproute/weir/weir-predictions/rule/2/match/0/*`) where the local gateway says
`predict`; all else of a line is alike (infra/kubernetes/traffic/gateway.yaml).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from data_contracts.config import KServe
from serving.rollout.evidence import PhaseEvidence
from serving.rollout.tails import Tail
from serving.rollout.targets.envoy_config import PREDICT_ROUTE
from serving.rollout.targets.kserve_routes import prediction_rules


class KServeEvidence(PhaseEvidence):
    """`PhaseEvidence` of files named like `access_log` in its folder and in every folder there."""

    def __init__(
        self,
        settings: KServe,
        access_log: Path,
        decisions: Path,
        since: datetime,
        candidate: str,
        lake: Path | None = None,
    ) -> None:
        super().__init__(access_log, decisions, since, candidate, lake)
        self._log = Tail(access_log.parent, f"**/{access_log.name}*", since)
        self._rules = prediction_rules(settings)
        route = re.escape(f"httproute/{settings.namespace}/{settings.route}/rule/")
        self._place = re.compile(rf"{route}(\d+)/")

    def _take_request(self, entry: Mapping[str, Any]) -> None:
        found = self._place.match(str(entry.get("route")))
        if found is not None and int(found[1]) in self._rules:
            super()._take_request({**entry, "route": PREDICT_ROUTE})
