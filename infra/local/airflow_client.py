"""A client of Airflow's REST API: trigger a DAG, follow its run, and say why it failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from data_contracts.errors import BadInput, ServiceUnavailable, WeirError

FINISHED = ("success", "failed")
TASK_FAILED = ("failed", "upstream_failed")
POLL_SECONDS = 0.5
TRIES = 4  # on SQLite, Airflow answers 500 where a task and a person write at the same moment
PAGE = 100


class RunError(WeirError):
    """A DAG run failed; the message has the task, its last lines and the next command."""


@dataclass(frozen=True)
class Task:
    """One task of a run. `state` is None until it is scheduled; `seconds` is its last attempt's."""

    task_id: str
    state: str | None
    attempt: int
    seconds: float | None


@dataclass(frozen=True)
class Run:
    """One run of a DAG; `state` is queued, running, success or failed."""

    dag_id: str
    run_id: str
    state: str
    created_at: datetime
    seconds: float | None

    @property
    def is_finished(self) -> bool:
        return self.state in FINISHED


OnChange = Callable[[Run, Sequence[Task]], None]


@dataclass(frozen=True)
class AirflowClient:
    """Signs in with user and password at the first call; a new token when the old one ends.

    Every call can be repeated safely, and is where Airflow answers with a server error.
    """

    base_url: str
    user: str
    password: str = field(repr=False)
    timeout_seconds: float = 30.0
    _session: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> Run:
        """Start a run now. Raises BadInput where a parameter breaks its schema.

        The run's id is made here, so that a second try cannot start a second run.
        """
        run_id = f"manual__{datetime.now(UTC).isoformat()}"
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf or {})}
        response = self._request("POST", f"/dags/{dag_id}/dagRuns", json=body)
        if response.status_code == httpx.codes.CONFLICT:  # the first try did start it
            return self.run(dag_id, run_id)
        return _run(_checked(response).json())

    def run(self, dag_id: str, run_id: str) -> Run:
        return _run(self._call("GET", f"/dags/{dag_id}/dagRuns/{run_id}"))

    def runs(self, dag_id: str, since: datetime | None = None) -> list[Run]:
        """The DAG's latest runs (at most 100), oldest first, created at `since` or later."""
        query = {"order_by": "-run_after", "limit": PAGE}
        found = self._call("GET", f"/dags/{dag_id}/dagRuns", params=query)["dag_runs"]
        runs = sorted((_run(item) for item in found), key=lambda run: run.created_at)
        return [run for run in runs if since is None or run.created_at >= since]

    def tasks(self, dag_id: str, run_id: str) -> list[Task]:
        """Every task of the run, in the order of their start; those not started come last."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        found = self._call("GET", path, params={"limit": PAGE})["task_instances"]
        found.sort(key=lambda item: item["start_date"] or "9")
        return [
            Task(item["task_id"], item["state"], item["try_number"], item["duration"])
            for item in found
        ]

    def result(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """The JSON that the step returned; empty where it returned none."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        response = self._request("GET", path, params={"deserialize": True})
        if response.status_code == httpx.codes.NOT_FOUND:
            return {}
        value = _checked(response).json()["value"]
        return value if isinstance(value, dict) else {}

    def log_tail(self, dag_id: str, run_id: str, task: Task, lines: int = 12) -> list[str]:
        """The last lines of the task's last attempt."""
        attempt = max(task.attempt, 1)
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task.task_id}/logs/{attempt}"
        content = self._call("GET", path, params={"full_content": True})["content"]
        return [str(item["event"]) for item in content if item.get("event")][-lines:]

    def import_errors(self) -> dict[str, str]:
        """File and trace of every DAG file that Airflow could not read."""
        found = self._call("GET", "/importErrors", params={"limit": PAGE})["import_errors"]
        return {item["filename"]: item["stack_trace"] for item in found}

    def dag_ids(self) -> list[str]:
        """Every DAG that is ready to run."""
        found = self._call("GET", "/dags", params={"limit": PAGE, "exclude_stale": True})["dags"]
        return sorted(item["dag_id"] for item in found)

    def set_paused(self, dag_id: str, *, paused: bool) -> None:
        """A paused DAG starts no run by schedule or asset; a triggered run waits."""
        self._call("PATCH", f"/dags/{dag_id}", json={"is_paused": paused})

    def wait_until_ready(self, dag_ids: Iterable[str], timeout_seconds: float = 120.0) -> None:
        """Until the scheduler is alive and every DAG is known."""
        wanted = set(dag_ids)

        def missing() -> set[str]:
            health = self._call("GET", "/monitor/health")
            alive = health["scheduler"]["status"] == "healthy"
            return (wanted - set(self.dag_ids())) | (set() if alive else {"the scheduler"})

        if not _until(lambda: not missing(), timeout_seconds):
            errors = "\n".join(self.import_errors().values()) or "no import errors"
            raise ServiceUnavailable(
                f"Airflow has no {', '.join(sorted(missing()))} after {timeout_seconds:.0f} s; "
                f"{errors}"
            )

    def wait_for_run(self, dag_id: str, since: datetime, timeout_seconds: float = 60.0) -> Run:
        """The first run created at `since` or later, for example one that an asset started."""
        found: list[Run] = []

        def look() -> bool:
            found[:] = self.runs(dag_id, since)
            return bool(found)

        if not _until(look, timeout_seconds):
            raise ServiceUnavailable(
                f"{dag_id}: no run since {since:%H:%M:%S} UTC after {timeout_seconds:.0f} s; "
                f"see {self.base_url}/dags/{dag_id}"
            )
        return found[0]

    def wait(self, run: Run, timeout_seconds: float, on_change: OnChange | None = None) -> Run:
        """Follow the run to its end; `on_change` hears of every change of a task's state.

        Raises RunError with the cause, ServiceUnavailable where time runs out.
        """
        seen: list[Task] = []
        current = run

        def look() -> bool:
            nonlocal current, seen
            current = self.run(run.dag_id, run.run_id)
            tasks = self.tasks(run.dag_id, run.run_id)
            if on_change and _states(tasks) != _states(seen):
                on_change(current, tasks)
            seen = tasks
            return current.is_finished

        if not _until(look, timeout_seconds):
            states = ", ".join(f"{task.task_id} {task.state or 'waiting'}" for task in seen)
            raise ServiceUnavailable(
                f"{run.dag_id} did not end within {timeout_seconds:.0f} s ({states}); "
                f"see {self.page(run)}"
            )
        if current.state == "failed":
            raise RunError(self.explain(current))
        return current

    def explain(self, run: Run) -> str:
        """Which task failed, the end of its log, and where to look next."""
        tasks = [task for task in self.tasks(run.dag_id, run.run_id) if task.state in TASK_FAILED]
        first = next((task for task in tasks if task.state == "failed"), None)
        if first is None:
            return f"{run.dag_id} failed; see {self.page(run)}"
        tail = "\n    ".join(self.log_tail(run.dag_id, run.run_id, first))
        return (
            f"{run.dag_id}.{first.task_id} failed at attempt {first.attempt}; "
            f"the end of its log:\n    {tail}\n  mend the cause, then clear the task: "
            f"{self.page(run)}/tasks/{first.task_id}"
        )

    def page(self, run: Run) -> str:
        """The run's page in Airflow's UI."""
        return f"{self.base_url}/dags/{run.dag_id}/runs/{run.run_id}"

    def _call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        body: dict[str, Any] = _checked(self._request(method, path, **options)).json()
        return body

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = self._send(method, path, **options)
            for _ in range(TRIES - 1):
                if response.status_code == httpx.codes.UNAUTHORIZED:
                    self._session.clear()
                elif not response.is_server_error:
                    break
                time.sleep(POLL_SECONDS)
                response = self._send(method, path, **options)
        except httpx.HTTPError as error:
            raise ServiceUnavailable(
                f"Airflow at {self.base_url} does not answer ({type(error).__name__}: {error}); "
                "start it with `make up`"
            ) from error
        return response

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        return httpx.request(
            method,
            f"{self.base_url}/api/v2{path}",
            headers={"Authorization": f"Bearer {self._token()}"},
            timeout=self.timeout_seconds,
            **options,
        )

    def _token(self) -> str:
        if "token" not in self._session:
            credentials = {"username": self.user, "password": self.password}
            response = httpx.post(
                f"{self.base_url}/auth/token", json=credentials, timeout=self.timeout_seconds
            )
            self._session["token"] = _checked(response).json()["access_token"]
        return self._session["token"]


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    problem = f"Airflow answered {response.status_code}: {response.text[:500]}"
    if response.is_client_error:
        raise BadInput(f"{problem}; {response.request.method} {response.request.url.path}")
    raise ServiceUnavailable(f"{problem}; see the log of airflow-api-server")


def _run(item: Mapping[str, Any]) -> Run:
    created = item.get("queued_at") or item.get("start_date") or item["run_after"]
    return Run(
        dag_id=item["dag_id"],
        run_id=item["dag_run_id"],
        state=item["state"],
        created_at=datetime.fromisoformat(created).astimezone(UTC),
        seconds=item.get("duration"),
    )


def _states(tasks: Sequence[Task]) -> dict[str, tuple[str | None, int]]:
    return {task.task_id: (task.state, task.attempt) for task in tasks}


def _until(condition: Callable[[], bool], timeout_seconds: float) -> bool:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
