"""Where a judged model comes from, and what changed since the champion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from data_contracts.config import Settings
from data_contracts.errors import BadInput, MissingPart, ServiceUnavailable

LONGEST_VALUE = 60  # characters of a changed setting that are shown
ABSENT = "–"


@dataclass(frozen=True)
class Subject:
    """A model by the name it is known by, the ensemble's own version, and its lineage.

    `lineage` is the record that training kept in the artefact, empty where it kept none; `tags`
    are the registry's, empty for a folder.
    """

    name: str
    ensemble: str
    lineage: Mapping[str, Any]
    tags: Mapping[str, str] = field(default_factory=dict)


def subject(model: str, settings: Settings) -> Subject:
    """Of a folder, an alias or a registry URI. Raises BadInput where there is no such model."""
    from training.gate_evidence import ENSEMBLE_TAG
    from training.lineage import read_lineage
    from training.registry import CHALLENGER, CHAMPION, connect, download, get_version

    directory = download(model, settings)
    found = read_lineage(directory)
    lineage = found.as_record() if found else {}
    if model in (CHALLENGER, CHAMPION) or model.startswith("models:/"):
        version = get_version(connect(settings), model)
        if version.tags.get(ENSEMBLE_TAG) is not None:
            return Subject(version.uri, version.tags[ENSEMBLE_TAG], lineage, version.tags)
        raise BadInput(f"{version.uri} has no tag {ENSEMBLE_TAG}; register it with Weir")
    from training.ensemble import Ensemble
    from training.stage_sources import stage_sources

    ensemble = Ensemble.load(directory, sources=stage_sources(settings)).version
    return Subject(directory.name, ensemble, lineage)


def champion_subject(model: str | None, settings: Settings) -> Subject | None:
    """The model to compare with: `none`, a folder or a URI; by default the registry's champion,
    where the registry answers and has one.
    """
    if model is not None:
        return None if model == "none" else subject(model, settings)
    from training.registry import champion_version, connect

    try:
        version = champion_version(connect(settings))
    except (ServiceUnavailable, MissingPart):
        return None
    return None if version is None else subject(version.uri, settings)


def changes(model: Subject, champion: Subject) -> Iterator[tuple[str, str, str]]:
    """What, before, now: commit, data sets, lake days, labels, and each changed setting.

    >>> few, many = ({"configuration": {"training": {"trials": n}}} for n in (1, 2))
    >>> list(changes(Subject("new", "e2", many), Subject("old", "e1", few)))
    [('training.trials', '1', '2')]
    """
    old, new = champion.lineage, model.lineage
    if old.get("commit") != new.get("commit"):
        yield "commit", _short(old.get("commit")), _short(new.get("commit"))
    for name in ("datasets", "lake_days"):
        before, now = set(old.get(name, ())), set(new.get(name, ()))
        if before != now:
            yield name.replace("_", " "), _lost(before, now), _gained(before, now)
    before_labels, labels = (sum(one.get("label_batches", {}).values()) for one in (old, new))
    if before_labels != labels:
        yield "labels of the lake", f"{before_labels:,}", f"{labels:,}"
    was, settings = _flat(old.get("configuration", {})), _flat(new.get("configuration", {}))
    for key in sorted(was.keys() | settings.keys()):
        if was.get(key) != settings.get(key):
            yield key, _short(was.get(key)), _short(settings.get(key))


def _lost(before: set[str], now: set[str]) -> str:
    gone = sorted(before - now)
    return f"{len(before)}" + (f", without {', '.join(gone[:4])}" if gone else "")


def _gained(before: set[str], now: set[str]) -> str:
    added = sorted(now - before)
    return f"{len(now)}" + (f", new: {', '.join(added[:4])}" if added else "")


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _short(value: object) -> str:
    text = ABSENT if value is None else str(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"
