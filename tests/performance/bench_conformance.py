"""`make bench-conformance`: thousands of generated requests, and no 5xx that nobody foresaw.

schemathesis reads the server's own OpenAPI document and makes requests that follow it and requests
that break it; hypothesis makes gRPC messages. The model is a stand-in (the share of capitals).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
import orjson
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.core.failures import Failure

from data_contracts.config import load_settings
from data_contracts.files import write_atomically
from tests.capitals_process import VERSION, Running, running
from tests.performance.provenance import commit
from tests.protocol_requests import (
    ACCEPTANCE,
    CHECKS,
    Call,
    grpc_calls,
    is_handled,
    is_handled_code,
    rest_cases,
)

REQUESTS = 10_000  # by REST, and as many by gRPC
BATCH = 100  # requests of one operation and mode before the next
SEED = 5
MODES = tuple(ACCEPTANCE)
_ANSWER_SECONDS = 20


class Seen:
    """What came back, by operation and status, and what should not have."""

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, str]] = Counter()
        self.unhandled: Counter[str] = Counter()
        self.deviations: Counter[str] = Counter()
        self.examples: dict[str, str] = {}  # of what the server said, one a deviation
        self.requests = 0

    def rows(self, protocol: str) -> list[dict[str, Any]]:
        return [
            {"protocol": protocol, "operation": operation, "status": status, "answers": count}
            for (operation, status), count in sorted(self.answers.items())
        ]


def main() -> int:
    arguments = _arguments()
    began = time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder), WEIR__SERVING__GRPC_PORT="0") as server,
    ):
        rest = over_rest(server, arguments.requests, arguments.seed)
        rpc = over_grpc(server, arguments.requests, arguments.seed)
        alive = httpx.get(f"{server.url}/v2/health/ready").status_code == httpx.codes.OK
        failures = server.log.read_text().count("a request failed")
    report = _report(rest, rpc, alive=alive, failures=failures, arguments=arguments)
    report["seconds"] = round(time.perf_counter() - began, 1)
    path = load_settings().home / "reports" / "bench-conformance.json"
    write_atomically(path, orjson.dumps(report, option=orjson.OPT_INDENT_2))
    print(_shown(report, path))
    return 0 if all(goal["met"] for goal in report["goals"]) else 1


def over_rest(server: Running, wanted: int, first_seed: int) -> Seen:
    """At least `wanted` requests, spread over operations, right and wrong."""
    schema = schemathesis.openapi.from_dict(httpx.get(f"{server.url}/openapi.json").json())
    operations = [found.ok() for found in schema.get_all_operations()]
    seen, turn = Seen(), first_seed
    with requests.Session() as session:
        while seen.requests < wanted:
            for operation in operations:
                for mode in MODES:
                    if seen.requests < wanted and _has_mode(operation, mode):
                        ask = _rest_asker(server.url, session, mode, seen)
                        cases = rest_cases(operation, mode, VERSION)
                        _draw(ask, cases, _share(operation), turn)
            turn += 1
    return seen


def over_grpc(server: Running, wanted: int, first_seed: int) -> Seen:
    """At least `wanted` calls."""
    seen, turn = Seen(), first_seed
    with grpc.insecure_channel(str(server.grpc)) as channel:
        while seen.requests < wanted:
            _draw(_grpc_asker(channel, seen), grpc_calls(VERSION), BATCH, turn)
            turn += 1
    return seen


def _draw(ask: Callable[[Any], None], cases: Any, examples: int, number: int) -> None:
    run = given(cases)(lambda case: ask(case))
    run = settings(
        max_examples=examples, database=None, deadline=None, phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )(run)  # fmt: skip
    seed(number)(run)()


def _has_mode(operation: Any, mode: Any) -> bool:
    """What has neither parameters nor body cannot be wrong."""
    return mode is MODES[0] or bool(operation.definition.raw.get("parameters"))


def _share(operation: Any) -> int:
    """Inference routes are asked most."""
    return BATCH if operation.body else BATCH // 2


def _rest_asker(
    url: str, session: requests.Session, mode: Any, seen: Seen
) -> Callable[[Any], None]:
    checks = [*CHECKS, ACCEPTANCE[mode]]

    def ask(case: Any) -> None:
        answer = case.call(base_url=url, session=session, timeout=_ANSWER_SECONDS)
        name = f"{case.method} {case.operation.path}"
        seen.requests += 1
        seen.answers[name, str(answer.status_code)] += 1
        headers = {key.lower(): values[0] for key, values in answer.headers.items()}
        if not is_handled(answer.status_code, headers, answer.content):
            seen.unhandled[f"{name} {answer.status_code}"] += 1
        try:
            case.validate_response(answer, checks=checks)
        except (Failure, BaseExceptionGroup) as failure:
            for one in getattr(failure, "exceptions", (failure,)):
                key = f"{name} {answer.status_code}: {type(one).__name__}"
                seen.deviations[key] += 1
                seen.examples.setdefault(key, answer.text[:200])

    return ask


def _grpc_asker(channel: grpc.Channel, seen: Seen) -> Callable[[Call], None]:
    def ask(call: Call) -> None:
        path = f"/inference.GRPCInferenceService/{call.method}"
        code = grpc.StatusCode.OK
        try:
            channel.unary_unary(path)(call.payload, metadata=call.metadata, timeout=_ANSWER_SECONDS)
        except grpc.RpcError as error:
            code = error.code()
        seen.requests += 1
        seen.answers[call.method, code.name] += 1
        if not is_handled_code(code):
            seen.unhandled[f"{call.method} {code.name}"] += 1

    return ask


def _report(
    rest: Seen, rpc: Seen, *, alive: bool, failures: int, arguments: argparse.Namespace
) -> dict[str, Any]:
    """`alive`: ready at the end; `failures`: lines of the log that tell of one."""
    return {
        "name": "conformance",
        "commit": commit(),
        "model": "tests/stand_ins/capital_letters.py",
        "seed": arguments.seed,
        "cores": os.cpu_count(),
        "schemathesis": schemathesis.__version__,
        "examples": rest.examples,
        "rows": rest.rows("rest") + rpc.rows("grpc"),
        "goals": [
            _goal("conformance.rest", "generated REST requests without an unhandled 5xx",
                  f"0 of >= {REQUESTS:,}", {"requests": rest.requests, **rest.unhandled},
                  rest.requests >= REQUESTS and not rest.unhandled),
            _goal("conformance.grpc", "generated gRPC calls without an unhandled error",
                  f"0 of >= {REQUESTS:,}", {"requests": rpc.requests, **rpc.unhandled},
                  rpc.requests >= REQUESTS and not rpc.unhandled),
            _goal("conformance.document", "REST answers that differ from the OpenAPI document, or "
                  "accept what it forbids, or refuse what it allows", "0", dict(rest.deviations),
                  not rest.deviations),
            _goal("conformance.alive", "the server is ready afterwards, and logged no failure",
                  "ready, 0", {"ready": alive, "failures": failures}, alive and failures == 0),
        ],
    }  # fmt: skip


def _goal(name: str, statement: str, target: str, measured: object, met: bool) -> dict[str, Any]:
    return {
        "id": name, "statement": statement, "target": target, "measured": measured, "met": met,
    }  # fmt: skip


def _shown(report: dict[str, Any], path: Path) -> str:
    lines = [f"{row['answers']:7,}  {row['protocol']:5s}{row['status']:20s}{row['operation']}"
             for row in report["rows"]]  # fmt: skip
    for goal in report["goals"]:
        met = "met" if goal["met"] else "NOT MET"
        lines.append(f"{met:8s}{goal['statement']}: {goal['measured']} ({goal['target']})")
    return "\n".join([*lines, f"{report['seconds']} s; report in {path}"])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=REQUESTS, metavar="N", help="a protocol")
    parser.add_argument("--seed", type=int, default=SEED, metavar="N")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
