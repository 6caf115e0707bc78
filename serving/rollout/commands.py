"""`python -m serving controller`, `rollout` and `slots`: the verbs around the controller."""

from __future__ import annotations

import argparse
import getpass
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Engine

from data_contracts.config import Settings
from data_contracts.errors import BadInput, WeirError
from data_contracts.files import write_atomically
from pipelines.state import open_state
from serving.rollout.controller import Controller, OpenEvidence, Registry
from serving.rollout.evidence import PhaseEvidence
from serving.rollout.kserve_evidence import KServeEvidence
from serving.rollout.leadership import Leadership
from serving.rollout.phases import Request, Rollout, check_steps
from serving.rollout.store import RolloutStore
from serving.rollout.story import tell
from serving.rollout.targets.base import Deployment, TrafficTarget
from serving.rollout.targets.kserve_configured import check_evidence, kserve_target
from serving.rollout.targets.local import LocalTarget, data_plane, local_target

JUDGED_PHASES = ("shadow", "canary", "full")
_DECISIONS = "decisions"


def run_controller(_arguments: argparse.Namespace, settings: Settings) -> dict[str, object]:
    """Reconcile until SIGTERM or SIGINT; servers and gateway go on without a controller."""
    check_steps(settings.rollout.steps)
    engine = open_state(settings.state_url)
    store, leadership = RolloutStore(engine), Leadership(engine)
    store.prepare()
    leadership.prepare()
    chosen = chosen_target(settings)
    controller = Controller(
        chosen.target,
        store,
        leadership,
        model_registry(settings),
        evidence_of(settings),
        settings.rollout,
        slots=chosen.slots,
        start_seconds=settings.serving.start_timeout_seconds,
        say=_say,
        tidy=chosen.tidy,
        beside=ThreadPoolExecutor(1, "approval"),
    )
    _say(f"rollout controller on {chosen.where}, slots {', '.join(chosen.slots)}")
    run_until_stopped(controller, leadership)
    return {"stopped": True}


@dataclass(frozen=True)
class Chosen:
    """The configured target, and what only its makers know of it: where it is, and its tidying."""

    target: TrafficTarget
    where: str
    slots: tuple[str, ...]
    tidy: Callable[[], None]


def chosen_target(settings: Settings) -> Chosen:
    """Raises ConfigurationError for a target that cannot be asked, or not be judged."""
    slots = tuple(data_plane(settings.serving, settings.home).slots)
    cluster = settings.rollout.cluster
    if cluster is None:
        local = local_target(settings.serving, settings.home)
        return Chosen(local, settings.serving.host, slots, local.rotate_access_log)
    check_evidence(cluster, *_evidence_files(settings))
    target = kserve_target(cluster, slots, _say)
    return Chosen(target, f"namespace {cluster.namespace}", slots, lambda: None)


def run_until_stopped(controller: Controller, leadership: Leadership) -> None:
    """Run in the foreground; SIGTERM ends it between two steps and gives the lease back."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        controller.run(stop.is_set, stop.wait)
    finally:
        leadership.resign()


def model_registry(settings: Settings) -> Registry:
    """The registry behind `training.promotion`, which is imported at the first question."""

    def champion() -> Deployment | None:
        from training import registry

        version = registry.champion_version(registry.connect(settings))
        return None if version is None else Deployment(version.uri, str(version.number))

    def approval(version: str) -> Any:
        from training import promotion

        return promotion.is_approved(version, settings)

    def make_champion(version: str) -> None:
        from training import promotion

        promotion.make_champion(version, settings)

    def drop_challenger(version: str) -> None:
        from training import promotion

        promotion.drop_challenger(version, settings)

    return Registry(approval, make_champion, drop_challenger, champion)


def evidence_of(settings: Settings) -> OpenEvidence:
    """Opens the access log, the decision records and the labels of this home."""
    access_log, decisions = _evidence_files(settings)
    lake, cluster = settings.lake, settings.rollout.cluster
    if cluster is not None:
        return lambda since, version: KServeEvidence(
            cluster, access_log, decisions, since, version, lake
        )
    return lambda since, version: PhaseEvidence(access_log, decisions, since, version, lake)


def _evidence_files(settings: Settings) -> tuple[Path, Path]:
    """The access log and the folder of decision records: in the home, unless a cluster's section
    names others.
    """
    access_log = data_plane(settings.serving, settings.home).access_log
    decisions = settings.home / _DECISIONS
    cluster = settings.rollout.cluster
    if cluster is None:
        return access_log, decisions
    return cluster.access_log or access_log, cluster.decisions or decisions


def run_rollout(arguments: argparse.Namespace, settings: Settings) -> dict[str, object]:
    """One verb, several actions; see `declare_rollout` for what each takes."""
    engine = open_state(settings.state_url)
    store = RolloutStore(engine)
    store.prepare()
    Leadership(engine).prepare()
    if arguments.action == "start":
        registry = model_registry(settings)
        return start(store, registry, settings, _named_version(arguments), arguments.model)
    if arguments.action == "watch":
        return _watch(store, engine, settings, arguments)
    if arguments.action == "status":
        return _status(store, engine, settings, arguments)
    if arguments.action == "page":
        return {"page": _write_page(store, engine, settings, _named_version(arguments))}
    requests: dict[str, Request] = {name: name for name in ("pause", "resume", "promote", "abort")}
    rollout = store.ask(requests[arguments.action], getpass.getuser())
    return {"version": rollout.version, "state": rollout.label, "requested": arguments.action}


def run_slots(arguments: argparse.Namespace, settings: Settings) -> dict[str, object]:
    """What runs in the slots; `stop` ends the servers (stop gateway and controller first)."""
    cluster = settings.rollout.cluster
    if cluster is not None:
        if arguments.action == "stop":
            raise BadInput(
                "rollout.target = kserve: pods in slots are not stopped from here; set traffic "
                f"aside, then kubectl -n {cluster.namespace} delete inferenceservices --all"
            )
        of_cluster = chosen_target(settings).target
        found: dict[str, dict[str, object]] = {
            slot: {**asdict(model), "alive": of_cluster.alive(slot)}
            for slot, model in of_cluster.deployed().items()
        }
        return {"slots": found, "stopped": False}
    plane = data_plane(settings.serving, settings.home)
    target = LocalTarget(plane, settings.home)
    found = {
        slot: {**asdict(model), "port": plane.slots[slot], "alive": target.alive(slot)}
        for slot, model in target.deployed().items()
    }
    if arguments.action == "stop":
        target.stop_servers()
    return {"slots": found, "stopped": arguments.action == "stop"}


def start(
    store: RolloutStore,
    registry: Registry,
    settings: Settings,
    reference: str,
    model_uri: str | None = None,
) -> dict[str, object]:
    """Begin the rollout of a version (a number, or an alias such as challenger); idempotent.

    Raises BadInput for a version that nobody approved, and while another is being rolled out.
    """
    check_steps(settings.rollout.steps)
    approval = registry.approval(reference)
    version = str(getattr(approval, "version", reference))
    if not approval.approved:
        raise BadInput(f"version {version} is not approved: {approval.reason}")
    stable = store.stable()
    if stable is not None and stable.model.version == version and store.active() is None:
        return {"version": version, "state": "done", "reason": "it is the champion already"}
    uri = model_uri or f"models:/{settings.registry.model_name}/{version}"
    slots = tuple(data_plane(settings.serving, settings.home).slots)
    champion = registry.champion() if stable is None else None
    rollout = store.start(Deployment(uri, version), settings.rollout.steps, slots, champion)
    return {"version": version, "state": rollout.label, "rollout_id": rollout.id}


def _status(
    store: RolloutStore, engine: Engine, settings: Settings, arguments: argparse.Namespace
) -> dict[str, object]:
    version = arguments.version or None
    if arguments.watch:
        from serving.rollout.live_view import follow

        follow(lambda: tell(engine, store, version), settings.rollout.poll_seconds)
    rollout, stable, leader = store.latest(version), store.stable(), Leadership(engine).leader()
    return {
        "stable": None if stable is None else {"slot": stable.slot, **asdict(stable.model)},
        "rollout": None if rollout is None else _shown(rollout),
        "transitions": [] if rollout is None else store.history(rollout),
        "controller": None if leader is None else asdict(leader),
    }


def _write_page(store: RolloutStore, engine: Engine, settings: Settings, version: str) -> str:
    """The rollout's page in the reports; its path."""
    from serving.rollout.page import write_page

    story = tell(engine, store, _rollout_of(store, version).version)
    if story is None:
        raise WeirError(f"the rollout of version {version} is gone from the state database")
    return str(write_page(story, settings.reports))


def _watch(
    store: RolloutStore, engine: Engine, settings: Settings, arguments: argparse.Namespace
) -> dict[str, object]:
    """Follow the rollout to its end. Raises BadInput for one that was rolled back or aborted."""
    version = _named_version(arguments)
    deadline = time.monotonic() + arguments.timeout
    seen = 0
    warned = False
    while True:
        rollout = _rollout_of(store, version)
        history = store.history(rollout)
        for entry in history[seen:]:
            _tell(rollout, entry)
        seen = len(history)
        if not rollout.active:
            page = _write_page(store, engine, settings, version)
            _tell_line(f"the rollout's page: {page}")
            return _outcome(rollout, history, page, arguments)
        if time.monotonic() > deadline:
            raise WeirError(
                f"version {rollout.version} is still at {rollout.label} after "
                f"{arguments.timeout:.0f} s; watch again, or end it (rollout abort)"
            )
        if not warned and Leadership(engine).leader() is None:
            warned = True
            _tell_line("no controller is running: start `python -m serving controller`")
        time.sleep(settings.rollout.poll_seconds)


def _rollout_of(store: RolloutStore, reference: str) -> Rollout:
    """The newest rollout of this version; an alias stands for whatever was started last."""
    rollout = store.latest(reference if reference.isdigit() else None)
    if rollout is None:
        raise BadInput(
            f"there is no rollout of version {reference}; start it: python -m serving rollout "
            f"start --version {reference}"
        )
    return rollout


def _outcome(
    rollout: Rollout, history: list[dict[str, Any]], page: str, arguments: argparse.Namespace
) -> dict[str, object]:
    """The result; it is written before the error that a rolled back rollout ends with."""
    result: dict[str, object] = {
        "state": rollout.phase,
        "version": rollout.version,
        "reason": rollout.reason,
        "page": page,
        "rollout": [entry for entry in history if entry["phase"] in JUDGED_PHASES],
    }
    if rollout.phase == "done":
        return result
    if arguments.result is not None:
        write_atomically(arguments.result, orjson.dumps(result, option=orjson.OPT_INDENT_2))
    words = rollout.phase.replace("_", " ")
    raise BadInput(f"version {rollout.version} was {words}: {rollout.reason}")


def _named_version(arguments: argparse.Namespace) -> str:
    if not arguments.version:
        raise BadInput(f"rollout {arguments.action} needs --version (a number, or challenger)")
    return str(arguments.version)


def _shown(rollout: Rollout) -> dict[str, object]:
    return {
        "id": rollout.id,
        "version": rollout.version,
        "model_uri": rollout.model.model_uri,
        "state": rollout.phase,
        "label": rollout.label,
        "since": rollout.entered_at.isoformat(),
        "applied": rollout.applied_at is not None,
        "request": rollout.request,
        "restarts": rollout.restarts,
        "reason": rollout.reason,
    }


def _tell(rollout: Rollout, entry: dict[str, Any]) -> None:
    counts = ""
    if entry["phase"] in JUDGED_PHASES:
        counts = f" after {entry['seconds']:.0f} s, {entry['requests']} requests"
    _tell_line(
        f"version {rollout.version}: {entry['phase']} {entry['weight']} %{counts} → "
        f"{entry['to_phase']} ({entry['reason']})"
    )


def _tell_line(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _say(line: str) -> None:
    print(f"{datetime.now().astimezone():%H:%M:%S} {line}", flush=True)
