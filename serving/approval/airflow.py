"""Start a DAG run in Airflow by its REST API, once however often it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from data_contracts.errors import ServiceUnavailable, WeirError

TIMEOUT_SECONDS = 15.0


@dataclass(frozen=True)
class DagRuns:
    """Runs of one DAG. Signs in at the first call; a new token when the old one ends."""

    base_url: str
    user: str
    password: str = field(repr=False)
    dag_id: str = "challenger_rollout"
    _session: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    def start(self, run_id: str, conf: Mapping[str, str | int]) -> str | None:
        """Start the run of this id; the state of the one that there is already, else None.

        Raises ServiceUnavailable where Airflow does not answer, WeirError where it refuses.
        """
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf)}
        answer = self._send("POST", f"/dags/{self.dag_id}/dagRuns", json=body)
        if answer.status_code == httpx.codes.CONFLICT:
            return self.state_of(run_id)
        _checked(answer)
        return None

    def state_of(self, run_id: str) -> str | None:
        """Of the run of this id: queued, running, success or failed; None where there is none."""
        answer = self._send("GET", f"/dags/{self.dag_id}/dagRuns/{run_id}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return str(_checked(answer).json()["state"])

    def newest(self, limit: int = 100) -> list[dict[str, Any]]:
        """The newest runs as Airflow says them, newest first; `dag_id` "~" stands for all DAGs."""
        asked = {"order_by": "-run_after", "limit": limit}
        answer = _checked(self._send("GET", f"/dags/{self.dag_id}/dagRuns", params=asked))
        runs: list[dict[str, Any]] = answer.json()["dag_runs"]
        return runs

    def health(self) -> dict[str, dict[str, Any]]:
        """What Airflow says of its own components: `status` and the latest heartbeat of each."""
        components = _checked(self._send("GET", "/monitor/health")).json()
        return {name: about for name, about in components.items() if about is not None}

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = self._request(method, path, **options)
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                self._session.clear()
                answer = self._request(method, path, **options)
        except httpx.HTTPError as error:
            raise ServiceUnavailable(
                f"Airflow at {self.base_url} does not answer ({type(error).__name__}); start it, "
                "or mend approval.airflow_url (WEIR__APPROVAL__AIRFLOW_URL)"
            ) from None
        return answer

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._token()}"}
        url = f"{self.base_url}/api/v2{path}"
        return httpx.request(method, url, headers=headers, timeout=TIMEOUT_SECONDS, **options)

    def _token(self) -> str:
        if "token" not in self._session:
            credentials = {"username": self.user, "password": self.password}
            answer = httpx.post(
                f"{self.base_url}/auth/token", json=credentials, timeout=TIMEOUT_SECONDS
            )
            self._session["token"] = str(_checked(answer).json()["access_token"])
        return self._session["token"]


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    problem = f"Airflow answered {answer.status_code} to {answer.request.url.path}"
    if answer.is_server_error:
        raise ServiceUnavailable(f"{problem}; see its API server's log")
    raise WeirError(f"{problem}: {answer.text[:200]}; check user, password and the DAG")
