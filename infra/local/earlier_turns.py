"""A turn of the loop starts from an empty platform; what an earlier one left is kept apart."""

from __future__ import annotations

from pathlib import Path

STATE_OF_A_TURN = (
    "airflow",
    "decisions",
    "envoy",
    "label-studio",
    "lake",
    "landing",
    "mlflow",
    "models",
    "state",
    "studies",
    "truth",
)


def has_earlier_turn(home: Path) -> bool:
    """Whether events were replayed or ingested in this home before."""
    return (home / "landing").is_dir() or (home / "lake").is_dir()


def set_aside(home: Path) -> Path:
    """Move the state of the last turn to `{home}/earlier/N` and return that folder.

    Caches, secrets, logs and reports stay. No service of this home may run meanwhile.
    """
    folder = home / "earlier"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / str(1 + max((int(p.name) for p in folder.iterdir()), default=0))
    target.mkdir()
    for name in STATE_OF_A_TURN:
        if (home / name).exists():
            (home / name).rename(target / name)
    return target
