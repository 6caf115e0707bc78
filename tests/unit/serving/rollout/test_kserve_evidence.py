"""Evidence on a cluster: several proxies' logs, and routes named by their place."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import orjson

from serving.rollout.kserve_evidence import KServeEvidence
from tests.stand_ins.kserve_memory import kserve_settings

SINCE = datetime(2026, 1, 5, 12, tzinfo=UTC)
RULES = "httproute/weir/weir-predictions/rule"


def line(
    route: str, arm: str = "canary", status: int = 200, version: str = "2"
) -> dict[str, object]:
    return {
        "time": "2026-01-05T12:00:01.000000Z", "route": route, "status": status, "arm": arm,
        "microseconds": 4000, "attempts": 1, "flags": None, "model_version": version,
    }  # fmt: skip


def write(folder: Path, *lines: dict[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "gateway-access.jsonl").open("ab") as log:
        log.writelines(orjson.dumps(one) + b"\n" for one in lines)


def evidence_in(home: Path) -> KServeEvidence:
    log = home / "logs" / "gateway-access.jsonl"
    settings = kserve_settings("text", "media")
    return KServeEvidence(settings, log, home / "decisions", SINCE, "2")


def test_predictions_of_every_proxy_count_and_other_rules_do_not(tmp_path: Path) -> None:
    text, media = f"{RULES}/2/match/0/*", f"{RULES}/4/match/0/*"
    refused, protocol = f"{RULES}/0/match/0/*", f"{RULES}/6/match/1/*"
    other = "httproute/weir/another/rule/2/match/0/*"
    write(tmp_path / "logs" / "envoy-1", line(text), line(refused, status=400), line(protocol))
    write(tmp_path / "logs" / "envoy-2", line(media), line(media, "baseline", 503), line(other))
    canary, baseline = evidence_in(tmp_path).live()
    assert (canary.requests, canary.errors) == (2, 0)
    assert (baseline.requests, baseline.errors) == (1, 1)


def test_a_canarys_request_that_another_version_answered_is_its_error(tmp_path: Path) -> None:
    write(tmp_path / "logs" / "envoy-1", line(f"{RULES}/1/match/0/*", version="1"))
    canary, _ = evidence_in(tmp_path).live()
    assert (canary.requests, canary.errors) == (1, 1)


def test_a_proxy_that_starts_later_is_read_as_well(tmp_path: Path) -> None:
    seen = evidence_in(tmp_path)
    assert seen.live()[0].requests == 0
    write(tmp_path / "logs" / "envoy-3", line(f"{RULES}/2/match/0/*"))
    assert seen.live()[0].requests == 1
