"""A trained artefact as the cascade that serves it, from a directory or the registry."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from data_contracts.config import Settings
from data_contracts.events import Event
from serving.cascade import Cascade

_WARM_UP = [
    Event(event_id="warm-up", text="The first request finds every model loaded."),
    Event(  # with something beside its text, in a language for which names are looked up
        event_id="warm-up-fr",
        text="La première demande trouve tous les modèles chargés à Paris.",
        context={"surroundings.hour_sin": 0.0},
    ),
]


def load_cascade(model: str, settings: Settings, version: str | None = None) -> Cascade:
    """Load `model`: a directory, `champion`, `challenger` or a registry URI (`models:/spam/3`).

    Every stage runs once, so that nothing is left to load when the first request comes.
    `version` is the registry's number where the caller knows it; else the artefact's own id
    stands in the verdicts. Raises MissingPart, BadInput, or ServiceUnavailable.
    """
    from training.ensemble import Ensemble
    from training.stage_sources import stage_sources

    directory, number = _fetched(model, settings)
    ensemble = Ensemble.load(directory, sources=stage_sources(settings))
    ensemble.assess(_WARM_UP, every_stage=True)
    return Cascade(ensemble, version or number or ensemble.version, ensemble.threshold_version)


def _fetched(model: str, settings: Settings) -> tuple[Path, str | None]:
    """The local directory, and the registry's number of what came from there."""
    if model not in ("champion", "challenger") and not model.startswith("models:/"):
        from training.registry import download

        return download(model, settings), None
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as child:
        return child.submit(_fetch_from_registry, model, settings).result()


def _fetch_from_registry(model: str, settings: Settings) -> tuple[Path, str]:
    """Runs in a process of its own: MLflow would stay in a server's memory for nothing."""
    from training.registry import connect, download, get_version

    found = get_version(connect(settings), model)
    return download(found.uri, settings), str(found.number)
