"""Model versions: find, tag and describe them, and move the aliases, which belong to Weir."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from data_contracts.errors import BadInput
from training.registry.connection import Connection, NotInRegistry

CHAMPION = "champion"
CHALLENGER = "challenger"
DESCRIPTION_LIMIT_CHARACTERS = 5000  # MLflow's column
_URI = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>\d+)|@(?P<alias>[\w-]+))")


@dataclass(frozen=True)
class ModelVersion:
    """One version of the registered model as MLflow knows it."""

    model: str
    number: int
    run_id: str
    source: str
    created_at: datetime
    tags: Mapping[str, str]
    aliases: tuple[str, ...]

    @property
    def uri(self) -> str:
        return f"models:/{self.model}/{self.number}"


def find_version(connection: Connection, reference: str | int) -> ModelVersion | None:
    """The version that a number, an alias or a `models:/` URI names; None where there is none."""
    model = connection.model_name
    key = _key(model, str(reference))
    try:
        if key.isdigit():
            found = connection.call("GET", "model-versions/get", name=model, version=key)
        else:
            found = connection.call("GET", "registered-models/alias", name=model, alias=key)
    except NotInRegistry:
        return None
    return _from_record(found["model_version"])


def get_version(connection: Connection, reference: str | int) -> ModelVersion:
    """As `find_version`; raises BadInput when there is none."""
    found = find_version(connection, reference)
    if found is None:
        raise NotInRegistry(
            f"version {reference!r} of model {connection.model_name} is not in MLflow at "
            f"{connection.tracking_uri}; give an existing number or alias"
        )
    return found


def champion_version(connection: Connection) -> ModelVersion | None:
    """The champion; None while the registry has none."""
    return find_version(connection, CHAMPION)


def set_alias(connection: Connection, alias: str, number: int) -> None:
    """Let `alias` name this version, and no other; idempotent."""
    name = connection.model_name
    connection.call("POST", "registered-models/alias", name=name, alias=alias, version=str(number))


def drop_alias(connection: Connection, alias: str) -> None:
    """Remove the alias; nothing happens where it does not exist."""
    with suppress(NotInRegistry):
        connection.call(
            "DELETE", "registered-models/alias", name=connection.model_name, alias=alias
        )


def set_tags(connection: Connection, number: int, tags: Mapping[str, str]) -> None:
    """Set tags of a version."""
    name, version = connection.model_name, str(number)
    for key, value in tags.items():
        connection.call(
            "POST", "model-versions/set-tag", name=name, version=version, key=key, value=value
        )


def drop_tag(connection: Connection, number: int, key: str) -> None:
    """Remove a tag of a version; nothing happens where it does not exist."""
    name, version = connection.model_name, str(number)
    with suppress(NotInRegistry):
        connection.call("DELETE", "model-versions/delete-tag", name=name, version=version, key=key)


def describe(connection: Connection, number: int, markdown: str) -> None:
    """Write the version's description, at most 5,000 characters: the rest is cut with a note."""
    note = "\n\n… shortened; the reports are in the run's artifacts."
    if len(markdown) > DESCRIPTION_LIMIT_CHARACTERS:
        markdown = markdown[: DESCRIPTION_LIMIT_CHARACTERS - len(note)] + note
    connection.call(
        "PATCH",
        "model-versions/update",
        name=connection.model_name,
        version=str(number),
        description=markdown,
    )


def create_version(
    connection: Connection, source: str, run_id: str, model_id: str, tags: Mapping[str, str]
) -> ModelVersion:
    """Make a logged model of a run the next version of the registered model.

    Weir's tracking server makes the registered model itself when it starts.
    """
    created = connection.call(
        "POST",
        "model-versions/create",
        name=connection.model_name,
        source=source,
        run_id=run_id,
        model_id=model_id,
        tags=[{"key": key, "value": value} for key, value in tags.items()],
    )
    return _from_record(created["model_version"])


def versions_of_run(connection: Connection, run_id: str) -> list[ModelVersion]:
    """The versions that came out of a run, newest first."""
    chosen = f"name = '{connection.model_name}' and run_id = '{run_id}'"
    found = connection.call("GET", "model-versions/search", filter=chosen)
    return [_from_record(record) for record in found.get("model_versions", [])]


def all_versions(connection: Connection) -> list[ModelVersion]:
    """Every version of the registered model, newest first; none where there is no model yet."""
    found: list[ModelVersion] = []
    page: dict[str, str] = {}
    while True:
        answer = connection.call(
            "GET",
            "model-versions/search",
            filter=f"name = '{connection.model_name}'",
            order_by="version_number DESC",
            **page,
        )
        found += [_from_record(record) for record in answer.get("model_versions", [])]
        if not answer.get("next_page_token"):
            return found
        page = {"page_token": answer["next_page_token"]}


def _key(model: str, reference: str) -> str:
    """A number or an alias."""
    if not reference.startswith("models:/"):
        return reference
    match = _URI.fullmatch(reference)
    if match is None or match["name"] != model:
        raise BadInput(
            f"{reference!r} names no version of {model}; write models:/{model}/NUMBER or "
            f"models:/{model}@ALIAS"
        )
    return match["version"] or match["alias"]


def _from_record(record: Mapping[str, Any]) -> ModelVersion:
    return ModelVersion(
        model=record["name"],
        number=int(record["version"]),
        run_id=record.get("run_id", ""),
        source=record["source"],
        created_at=datetime.fromtimestamp(int(record["creation_timestamp"]) / 1000, UTC),
        tags={tag["key"]: tag.get("value", "") for tag in record.get("tags", [])},
        aliases=tuple(sorted(record.get("aliases", []))),
    )
