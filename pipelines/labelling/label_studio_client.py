"""The door to a Label Studio server: its REST API, through httpx.

httpx instead of label-studio-sdk: Weir needs seven calls, the SDK brings pandas, nltk and more.
Errors name the address, the status and the remedy; they never quote a task's text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from data_contracts.errors import ConfigurationError, ServiceUnavailable

PAGE = 500  # tasks of one answer
TASKS_AT_ONCE = 200  # tasks of one import: a text has up to 64 KiB
# Of a task and of its annotations: Label Studio asks the one list of both.
FIELDS = (
    "id", "meta", "overlap", "is_labeled", "annotations",
    "completed_by", "was_cancelled", "result",
)  # fmt: skip
KEY = "weir"  # where a task's `meta` holds Weir's own name of it


@dataclass(frozen=True)
class Annotation:
    """What one user said about a task; `result` is Label Studio's list of regions."""

    id: int
    user: int
    cancelled: bool
    result: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class ReviewTask:
    """A task as Label Studio has it. `key` is None for a task that Weir did not make.

    It is `offered` to reviewers until it has as many annotations as are `wanted`.
    """

    id: int
    key: str | None
    wanted: int
    offered: bool
    annotations: tuple[Annotation, ...]


@dataclass(frozen=True)
class LabelStudio:
    """A server at `url`, as the user whose token this is."""

    url: str
    token: str = field(repr=False)
    timeout_seconds: float = 60.0

    def ensure_project(self, title: str, wanted: Mapping[str, Any]) -> int:
        """The id of the oldest project of that title, which has these settings afterwards."""
        found = [p for p in self._pages("/api/projects") if p["title"] == title]
        if not found:
            made = self._call("POST", "/api/projects", json={"title": title, **wanted})
            return int(made["id"])
        project = min(found, key=lambda project: int(project["id"]))
        if different := {k: v for k, v in wanted.items() if project.get(k) != v}:
            self._call("PATCH", f"/api/projects/{project['id']}", json=different)
        return int(project["id"])

    def ensure_view(self, project: int, data: Mapping[str, Any]) -> None:
        """Give the project's list of tasks its first tab, unless it has one."""
        if not self._call("GET", "/api/dm/views", params={"project": project}):
            body = {"project": project, "data": dict(data)}
            self._call("POST", "/api/dm/views", json=body)

    def tasks(self, project: int) -> list[ReviewTask]:
        """Every task of the project with its annotations, in order of id, without the texts."""
        query = {"project": project, "fields": "all", "include": ",".join(FIELDS)}
        found: list[ReviewTask] = []
        page = 1
        while True:
            asked = {**query, "page": page, "page_size": PAGE}
            answer = self._call("GET", "/api/tasks", params=asked)
            found += [_review_task(task) for task in answer["tasks"]]
            if page * PAGE >= answer["total"]:
                return sorted(found, key=lambda task: task.id)
            page += 1

    def add(self, project: int, tasks: Sequence[Mapping[str, Any]]) -> int:
        """Make the tasks, a batch at a time; how many."""
        for start in range(0, len(tasks), TASKS_AT_ONCE):
            batch = list(tasks[start : start + TASKS_AT_ONCE])
            self._call("POST", f"/api/projects/{project}/import", json=batch)
        return len(tasks)

    def offer(self, task: int, wanted: int) -> None:
        """Show a task to reviewers until it has that many annotations."""
        self._call("PATCH", f"/api/tasks/{task}", json={"overlap": wanted, "is_labeled": False})

    def withdraw(self, task: int) -> None:
        """Show a task to no more reviewers; whatever was said about it stays."""
        self._call("PATCH", f"/api/tasks/{task}", json={"is_labeled": True})

    def users(self) -> dict[int, str]:
        """E-mail address by id, of everyone in the organisation."""
        return {int(user["id"]): user["email"] for user in self._call("GET", "/api/users")}

    def _pages(self, path: str) -> Iterator[Mapping[str, Any]]:
        page = 1
        while True:
            answer = self._call("GET", path, params={"page": page, "page_size": PAGE})
            yield from answer["results"]
            if not answer.get("next"):
                return
            page += 1

    def _call(self, method: str, path: str, **request: Any) -> Any:
        where = f"{method} {self.url}{path}"
        try:
            response = httpx.request(
                method,
                f"{self.url}{path}",
                headers={"Authorization": f"Token {self.token}"},
                timeout=self.timeout_seconds,
                **request,
            )
        except httpx.HTTPError as error:
            raise ServiceUnavailable(
                f"{where}: no answer ({type(error).__name__}); start Label Studio with "
                "`make review`, or set review.url to where it runs"
            ) from None
        _check(response, where)
        return response.json()


def _check(response: httpx.Response, where: str) -> None:
    status = response.status_code
    if response.is_success:
        return
    if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        raise ConfigurationError(
            f"{where}: {status}, Label Studio does not accept the token; WEIR_LABEL_STUDIO_TOKEN "
            "must be the legacy token of a user of review.url who may make projects"
        )
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise ServiceUnavailable(
            f"{where}: {status}, Label Studio failed; its log says why (`make status` names it)"
        )
    raise ConfigurationError(
        f"{where}: {status}, Label Studio refused the call; Weir speaks to version 1.23, "
        "see infra/review/requirements.txt"
    )


def _review_task(task: Mapping[str, Any]) -> ReviewTask:
    key = (task.get("meta") or {}).get(KEY)
    annotations = sorted(map(_annotation, task["annotations"]), key=lambda one: one.id)
    return ReviewTask(
        id=int(task["id"]),
        key=key,
        wanted=int(task["overlap"]),
        offered=not task["is_labeled"],
        annotations=tuple(annotations),
    )


def _annotation(raw: Mapping[str, Any]) -> Annotation:
    user = raw["completed_by"]
    return Annotation(
        id=int(raw["id"]),
        user=int(user["id"] if isinstance(user, Mapping) else user),
        cancelled=bool(raw["was_cancelled"]),
        result=tuple(raw["result"] or ()),
    )
