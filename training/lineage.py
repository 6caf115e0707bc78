"""Where a model comes from: commit, configuration, data, labels and the champion before it.

Training traces the lineage while its inputs are what it read, and keeps it in the artefact as
`lineage.json`; registration copies it to the version's tags.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson
import yaml

from data_contracts.config import PROJECT, Settings
from data_contracts.errors import BadInput
from data_contracts.files import write_atomically
from pipelines import lake

FILE = "lineage.json"
UNKNOWN = "unknown"
BATCH_TAG = "weir.label_batches"
TAG_BYTES = 4000  # MLflow takes 8,000 characters in a run's tag
_BATCH_TAG = re.compile(r"weir\.label_batches(\.\d+)?")


@dataclass(frozen=True)
class Lineage:
    """The chain of one training.

    `commit` ends in `-dirty` when files were changed since; `unknown` has its reason in
    `commit_note`. `dataset_hashes`: lake table to DVC hash. `label_batches`: batch to how many
    labels it gave (files of earlier versions: lake day to labels). `datasets`: the sources of the
    rows. `configuration` holds no secret and no path of a machine.
    """

    commit: str
    commit_note: str
    configuration_hash: str
    configuration: dict[str, Any]
    dataset_hashes: dict[str, str]
    lake_days: tuple[str, ...] = ()
    label_batches: dict[str, int] = field(default_factory=dict)
    datasets: tuple[str, ...] = ()

    def as_record(self) -> dict[str, Any]:
        return asdict(self)

    def as_tags(self) -> dict[str, str]:
        """The tags of the model version: short text, JSON where there are several values."""
        known = self.commit != UNKNOWN
        return {
            "weir.commit": self.commit if known else f"{UNKNOWN}: {self.commit_note}",
            "weir.configuration": self.configuration_hash,
            "weir.dataset_hashes": _json(self.dataset_hashes),
            "weir.lake_days": _json(self.lake_days),
            **_batch_tags(self.label_batches),
            "weir.datasets": _json(self.datasets),
        }


def saw(label_batches: Mapping[str, int], batch: str, days: Iterable[str]) -> bool | None:
    """Whether a model with these batches in its lineage saw a batch with labels on these days.

    None where the lineage names days only and one of them is among these: it may have.

    >>> saw({"2026-01-05/ada": 3}, "2026-01-05/bob", ["2026-01-05"])
    False
    """
    if batch in label_batches:
        return True
    return None if any(day in label_batches for day in days) else False


def batches_in_tags(tags: Mapping[str, str]) -> dict[str, int]:
    """The batches that `Lineage.as_tags` put into tags of a model version."""
    parts = (value for key, value in sorted(tags.items()) if _BATCH_TAG.fullmatch(key))
    return {batch: count for part in parts for batch, count in orjson.loads(part).items()}


def trace(
    settings: Settings, lake_days: Iterable[str] = (), datasets: Iterable[str] = ()
) -> Lineage:
    """The lineage of a training that reads these days of the lake and these data sets, now."""
    days = tuple(sorted(lake_days))
    commit, note = _commit(PROJECT)
    configuration = _public_configuration(settings)
    return Lineage(
        commit=commit,
        commit_note=note,
        configuration_hash=f"sha256:{hashlib.sha256(_canonical(configuration)).hexdigest()}",
        configuration=configuration,
        dataset_hashes=dataset_hashes(settings.lake),
        lake_days=days,
        label_batches=label_batches(settings.lake, days),
        datasets=tuple(sorted(set(datasets))),
    )


def write_lineage(directory: Path, lineage: Lineage) -> None:
    """Keep it in the artefact."""
    content = orjson.dumps(lineage.as_record(), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
    write_atomically(directory / FILE, content)


def read_lineage(directory: Path) -> Lineage | None:
    """What the artefact says of itself; None where training kept nothing."""
    path = directory / FILE
    if not path.is_file():
        return None
    try:
        record = orjson.loads(path.read_bytes())
        for name in ("lake_days", "datasets"):
            record[name] = tuple(record[name])
        return Lineage(**record)
    except (orjson.JSONDecodeError, TypeError, KeyError) as error:
        raise BadInput(f"{path} is no lineage ({error}); train the model again") from None


def dataset_hashes(folder: Path) -> dict[str, str]:
    """Lake table to the hash that DVC gave it (`{table}.dvc`); empty before the first version."""
    found = {}
    for path in sorted(folder.glob("?*.dvc")):  # not the folder .dvc itself
        outputs = yaml.safe_load(path.read_text(encoding="utf-8")).get("outs", [])
        if outputs:
            found[path.stem] = str(outputs[0].get("md5", UNKNOWN))
    return found


def label_batches(folder: Path, days: Sequence[str]) -> dict[str, int]:
    """Batch to how many labels these days of the lake `folder` have of it."""
    named = lake.read(folder, "labels", days, ["batch"])["batch"].to_pylist()
    return dict(sorted(Counter(named).items()))


def _batch_tags(batches: Mapping[str, int]) -> dict[str, str]:
    """`weir.label_batches`, and `….1`, `….2` where one tag would outgrow MLflow's limit."""
    parts: list[dict[str, int]] = [{}]
    for batch, count in batches.items():
        if len(_json({**parts[-1], batch: count}).encode()) > TAG_BYTES and parts[-1]:
            parts.append({})
        parts[-1][batch] = count
    return {f"{BATCH_TAG}.{n}" if n else BATCH_TAG: _json(part) for n, part in enumerate(parts)}


def _commit(project: Path) -> tuple[str, str]:
    """The commit and a note; `unknown` with the reason where git cannot say."""
    try:
        commit = _git(project, "rev-parse", "HEAD")
        changed = _git(project, "status", "--porcelain", "--untracked-files=no")
    except FileNotFoundError:
        return UNKNOWN, "git is not installed"
    except subprocess.CalledProcessError:
        return UNKNOWN, "not a git checkout with a commit"
    if changed:
        return f"{commit}-dirty", f"{len(changed.splitlines())} tracked files differ from it"
    return commit, ""


def _git(project: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(project), *arguments],  # noqa: S607 - git is where the user has it
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    return done.stdout.strip()


def _public_configuration(settings: Settings) -> dict[str, Any]:
    """Everything that shapes a model: no home, no paths, no URL that might hold a password."""
    tree = settings.model_dump(
        mode="json",
        exclude={
            "home": True, "state": True, "local": True, "orchestration": True,
            "data": {"root"}, "gates": True,
            "registry": {"tracking_uri", "backend_url", "waiver_signers", "waiver_days_at_most"},
            "serving": {"media_root"},
        },
    )  # fmt: skip
    policy = settings.gates.policy
    if policy.is_file():
        tree["gates"] = {"policy_sha256": hashlib.sha256(policy.read_bytes()).hexdigest()}
    return tree


def _canonical(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
