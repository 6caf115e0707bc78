"""The running local stack of the game day, on a shorter hour and on ports of its own.

Real: MLflow with authentication, Envoy, the rollout controller and its model servers with a real
ensemble, Redis as feature store, the state database, platform metrics, Prometheus and Alertmanager
with the shipped rules and routes, the alert receiver, the responder with the shipped playbooks, the
monitor every interval, and clients. Airflow is an emulator that notes which runs were asked for;
steps are run as commands. The pager is a web server of this process that counts what reaches it.
"""

from __future__ import annotations

import http.server
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from data_contracts.config import Settings, load_settings
from data_contracts.events import Event
from data_contracts.files import write_atomically
from data_contracts.secrets import AIRFLOW_APPROVAL_PASSWORD, REDIS_URL, create_local_secrets
from infra.local import services, watching
from infra.local.commands import call
from infra.local.process import Process
from infra.local.supervisor import Supervisor
from pipelines.feature_store.freshness import note_newest
from pipelines.feature_store.redis import RedisStates
from pipelines.state import open_state
from serving.incidents.store import IncidentStore
from serving.rollout.store import RolloutStore
from serving.rollout.targets.local import local_target
from tests.performance.game_day_models import CHAMPION, FLIPPED
from tests.performance.game_day_scale import (
    SCRAPE_SECONDS,
    read,
    scaled_files,
    scaled_routes,
    scaled_rules,
    variables,
    write,
)
from tests.performance.game_day_sets import enrichment
from tests.performance.game_day_traffic import Control, Sent, latest_answers
from tests.redis_server import RedisServer
from tests.stand_ins.airflow_api import PASSWORD, airflow_stand_in
from tests.stand_ins.data_plane import wait_for
from tests.stand_ins.ports import free_port, free_ports
from tests.tiny_version import GATES, gate_report
from training.stage_sources import media_reader

FACTOR = 90.0
INTERVAL_SECONDS = 3600.0 / FACTOR
KNOWN_EVENTS = 1500  # that the feature store has heard of
STORE_SECONDS, START_SECONDS, ROLLOUT_SECONDS, WARM_SECONDS = 5.0, 120.0, 240.0, 15.0
SCALED = "tests.performance.game_day_scale"
WITHOUT = ("approval", "appeals", "status-page", "workspace")  # no fault of the day concerns them
SERVER_SECONDS = 240.0  # to become ready, on two cores that carry everything
PEOPLE = ("FIRST", "SECOND", "LEAD")
CLIENTS_SEED = 20_261_130


@dataclass
class PagerServer:
    """What reached the pagers of who is on call: (seconds since 1970, path)."""

    port: int
    calls: list[tuple[float, str]] = field(default_factory=list)

    @contextmanager
    def running(self) -> Iterator[PagerServer]:
        calls = self.calls

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", 0)))
                calls.append((time.time(), self.path))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


@dataclass
class Stack:
    """Everything that runs, and the handles that an operator and a fault have."""

    settings: Settings
    environment: dict[str, str]
    redis: RedisServer
    pager: PagerServer
    supervisor: Supervisor
    pool: dict[str, list[dict[str, Any]]]
    versions: dict[str, str] = field(default_factory=dict)  # of models by their names

    @property
    def control_file(self) -> Path:
        return self.settings.home / "traffic.json"

    @property
    def answers_file(self) -> Path:
        return self.settings.home / "answers.jsonl"

    @property
    def slow_file(self) -> Path:
        return self.settings.home / "slow-stage"

    def send(self, control: Control) -> None:
        """What clients send from now on."""
        write_atomically(self.control_file, orjson.dumps(vars(control)))

    def answered(self, since: float) -> list[Sent]:
        """Requests of the last seconds that began since then."""
        return [one for one in latest_answers(self.answers_file) if one.start >= since]

    @cached_property
    def store(self) -> IncidentStore:
        return IncidentStore(open_state(self.settings.state_url))

    @cached_property
    def rollouts(self) -> RolloutStore:
        return RolloutStore(open_state(self.settings.state_url))

    def command(self, folder: str, verb: str, *arguments: str) -> dict[str, Any]:
        """A verb of the platform, to its end."""
        return call(self.settings, folder, verb, *arguments)

    def version_of(self, model: str) -> str:
        """Its number in the registry."""
        return self.versions[model]

    def register(self, model: Path) -> str:
        """A trained model as a version whose gates' reports say that it passed; approved."""
        folder = self.settings.home / "gates" / model.name
        ensemble = orjson.loads(model.with_suffix(".json").read_bytes())["model_version"]
        folder.mkdir(parents=True, exist_ok=True)
        version = str(self.command("training", "register", f"--model={model}")["version"])
        reports = [gate_report(folder, gate, model=ensemble) for gate in GATES]
        gates = [f"--gate={path}" for path in reports]
        done = self.command("training", "promote", f"--version={version}", *gates)
        assert done["promoted"], done
        self.command("training", "approve", f"--version={version}")
        self.versions[model.name] = version
        return version

    def roll_out(self, version: str) -> None:
        self.command("serving", "rollout", "start", f"--version={version}")

    def is_done(self, version: str) -> bool:
        found = self.rollouts.latest(version)
        return found is not None and found.phase == "done"


@contextmanager
def running_stack(home: Path, models: Path, traffic: Path, say: Any) -> Iterator[Stack]:
    """Start it, the champion in full, clients sending; stopped at the end, whatever happened."""
    with ExitStack() as entered:
        redis = entered.enter_context(RedisServer(home / "redis"))
        pager = entered.enter_context(PagerServer(free_port()).running())
        airflow = entered.enter_context(airflow_stand_in())
        settings, environment = _configured(home, redis, pager, airflow.url)
        os.environ.update(environment)
        create_local_secrets(home)
        stack = Stack(settings, environment, redis, pager, Supervisor(home), _pool(traffic))
        _tell(stack)
        entered.callback(_stop, stack)
        _start(stack, _platform(stack), say)
        version = stack.register(models / CHAMPION)
        stack.roll_out(version)
        wait_for(lambda: stack.is_done(version), "the champion in traffic", ROLLOUT_SECONDS)
        say(f"version {version} is champion")
        stack.send(Control())
        *first, alertmanager, prometheus = _watchers(stack)
        _start(stack, [*first, _clients(stack, traffic)], say)
        time.sleep(WARM_SECONDS)  # the first requests are slow, and known to be
        _start(stack, [alertmanager, prometheus], say)
        stack.register(models / FLIPPED)
        say("another version waits for its rollout")
        yield stack


def _configured(
    home: Path, redis: RedisServer, pager: PagerServer, airflow: str
) -> tuple[Settings, dict[str, str]]:
    first = free_ports(12)
    ports = (
        "SERVING__GATEWAY_PORT", "SERVING__ENVOY_ADMIN_PORT", "PLATFORM_METRICS__PORT",
        "ALERT_RECEIVER__PORT", "LOCAL__MLFLOW_PORT", "LOCAL__PROMETHEUS_PORT",
        "LOCAL__ALERTMANAGER_PORT", "APPROVAL__PORT",
    )  # fmt: skip
    shipped = load_settings({"WEIR_HOME": str(home), "WEIR_ENV": "local"})
    found = {f"WEIR__{name}": str(first + at) for at, name in enumerate(ports)}
    slot = first + len(ports)
    pages = f"http://127.0.0.1:{pager.port}"
    environment = {
        "WEIR_HOME": str(home), "WEIR_ENV": "local", "OMP_NUM_THREADS": "1",
        **found, "WEIR__SERVING__FIRST_SLOT_PORT": str(slot),
        "WEIR__REGISTRY__TRACKING_URI": f"http://127.0.0.1:{found['WEIR__LOCAL__MLFLOW_PORT']}",
        "WEIR__FEATURE_STORE__ENGINE": "redis", REDIS_URL: redis.url,
        "WEIR__APPROVAL__AIRFLOW_URL": airflow, AIRFLOW_APPROVAL_PASSWORD: PASSWORD,
        "WEIR__ENSEMBLE__STAGES__MEANING__EXTRACTOR":
            "tests.performance.game_day_slow_stage:SlowMeaning",
        "WEIR__SERVING__START_TIMEOUT_SECONDS": f"{SERVER_SECONDS:g}",
        "WEIR_GAME_DAY_SLOW": str(home / "slow-stage"),
        **{f"WEIR_PAGER_{who}_URL": f"{pages}/{who.lower()}" for who in PEOPLE},
        **variables(shipped, FACTOR), **scaled_files(shipped, FACTOR, home / "scaled"),
    }  # fmt: skip
    return load_settings({**os.environ, **environment}), environment


def _platform(stack: Stack) -> list[Process]:
    wanted = ("mlflow", "gateway", "controller")
    return [one for one in services.platform_services(stack.settings) if one.name in wanted]


def _watchers(stack: Stack) -> list[Process]:
    """Everything of `make up` that watches, with windows divided; last Alertmanager, Prometheus."""
    settings = stack.settings
    watching.prepare(settings)
    _shorten(settings)
    respond = (sys.executable, "-m", SCALED, f"{FACTOR:g}", "serving", "incidents", "respond")
    return [
        replace(one, argv=respond) if one.name == "incidents" else one
        for one in watching.processes(settings)
        if one.name not in WITHOUT
    ]


def _clients(stack: Stack, traffic: Path) -> Process:
    settings = stack.settings
    gateway = f"http://127.0.0.1:{settings.serving.gateway_port}"
    argv = (
        sys.executable, "-m", "tests.performance.game_day_traffic",
        f"--url={gateway}/v1/models/{settings.serving.model_name}:predict", f"--pool={traffic}",
        f"--control={stack.control_file}", f"--out={stack.answers_file}",
        f"--interval={INTERVAL_SECONDS}", f"--seed={CLIENTS_SEED}",
    )  # fmt: skip
    return Process(name="clients", argv=argv)


def monitor_process() -> Process:
    """Starts when there is a past to compare with."""
    argv = (sys.executable, "-m", "tests.performance.game_day_monitor", f"{FACTOR:g}")
    return Process(name="monitor", argv=argv)


def _shorten(settings: Settings) -> None:
    """Rules and routes as `make up` gives them to Prometheus and Alertmanager, windows divided."""
    folder = settings.home / "watching"
    path = folder / "prometheus.yaml"
    content = read(path)
    content["rule_files"] = [
        str(write(scaled_rules(read(Path(rules)), FACTOR), folder / "rules" / Path(rules).name))
        for rules in content["rule_files"]
    ]
    every = f"{SCRAPE_SECONDS:g}s"
    content["global"] = {"scrape_interval": every, "evaluation_interval": every}
    for job in content["scrape_configs"]:
        for discovery in job.get("http_sd_configs", ()):
            discovery["refresh_interval"] = "2s"
    write(content, path)
    receiver = f"http://127.0.0.1:{settings.alert_receiver.port}"
    routes = scaled_routes(read(watching.ROUTES), FACTOR, receiver, folder / "token")
    write(routes, folder / "prometheus-alertmanager.yaml")


def _start(stack: Stack, processes: Sequence[Process], say: Any) -> None:
    for process in processes:
        stack.supervisor.start(process)
        stack.supervisor.wait_until_ready(process)
    say(f"started {', '.join(process.name for process in processes)}")


def _stop(stack: Stack) -> None:
    for name in reversed(stack.supervisor.running()):
        if name == "gateway":
            local_target(stack.settings.serving, stack.settings.home).stop_servers()
        stack.supervisor.stop(name)


def _tell(stack: Stack) -> None:
    """The store hears of events of the last days, so that verdicts have a past."""
    settings = stack.settings
    rows = [row for kind in ("ham", "spam") for row in stack.pool[kind]][:KNOWN_EVENTS]
    step = timedelta(days=2) / max(len(rows), 1)
    begin = datetime.now(UTC) - timedelta(days=2)
    events = [
        Event.model_validate(row["event"]).model_copy(update={"occurred_at": begin + n * step})
        for n, row in enumerate(rows)
    ]
    keeping = timedelta(days=settings.feature_store.time_to_live_days)
    with (
        RedisStates(stack.redis.url, keeping, STORE_SECONDS) as states,
        media_reader(settings) as media,
    ):
        enrichment(states, media).enrich_in_order(events, ())
        note_newest(states, datetime.now(UTC))


def _pool(traffic: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for line in traffic.read_bytes().splitlines():
        row = orjson.loads(line)
        found.setdefault(row["kind"], []).append(row)
    return found
