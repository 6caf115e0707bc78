"""A trained artefact as the cascade that serves it, from a directory or the registry."""

from __future__ import annotations

import base64
import hashlib
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from data_contracts.config import Settings
from data_contracts.events import Event, MediaReference
from serving.cascade import Cascade, StageCosts
from serving.stage_bounds import UNGUARDED, within

if TYPE_CHECKING:
    from serving.stage_guard import StageCounts

_WHITE_PNG = (  # 64 by 64 pixels
    "iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAAAAACPAi4CAAAAK0lEQVR42u3MMREAAAgE"
    "oNf+nTWEmwcBqMlNRyAQCAQCgUAgEAgEAsHzYAFQLQF/OJ8+2wAAAABJRU5ErkJggg=="
)
_WARM_UP = [
    Event(event_id="warm-up", text="The first request finds every model loaded."),
    Event(  # with something beside its text, in a language for which names are looked up
        event_id="warm-up-fr",
        text="La première demande trouve tous les modèles chargés à Paris.",
        context={"surroundings.hour_sin": 0.0},
    ),
]


def load_cascade(
    model: str,
    settings: Settings,
    version: str | None = None,
    counts: StageCounts | None = None,
) -> Cascade:
    """Load `model`: a directory, `champion`, `challenger` or a registry URI (`models:/spam/3`).

    Every stage that answers within a request's time runs once, so that nothing is left to load
    when the first request comes. `version` is the registry's number where the caller knows it;
    else the artefact's own id stands in the verdicts. `counts` is told of the stages' calls.
    Raises MissingPart, BadInput, or ServiceUnavailable.
    """
    from serving.guarded_stages import GuardedSources
    from training.ensemble import Ensemble
    from training.fused_policy import TEXT
    from training.stage_sources import READ_FROM_MEDIA, stage_sources

    directory, number = _fetched(model, settings)
    sources = GuardedSources.around(stage_sources(settings), settings.serving.stage_guards, counts)
    ensemble = Ensemble.load(directory, sources=sources)
    reads_images = any(ensemble.has_stage(name) for name, one in settings.ensemble.stages.items()
                       if one.modality == "image")  # fmt: skip
    with within(UNGUARDED):
        ensemble.assess([*_WARM_UP, *([_picture()] if reads_images else [])], every_stage=True)
    stages = settings.ensemble.stages.items()
    media = {name: one.cpu_milliseconds for name, one in stages if one.modality in READ_FROM_MEDIA}
    networks = (TEXT, *(name for name, one in stages if one.modality == "text"))
    costs = StageCosts(
        media,
        networks,
        tuple(name for name, _ in stages if name not in (*media, *networks)),
        settings.serving.longest_stage_share,
        settings.serving.every_stage_share,
    )
    return Cascade(
        ensemble, version or number or ensemble.version, ensemble.threshold_version, costs
    )


def _picture() -> Event:
    """An event with a white picture in it."""
    digest = hashlib.sha256(base64.b64decode(_WHITE_PNG)).hexdigest()
    reference = MediaReference(kind="image", sha256=digest, bytes=_WHITE_PNG)
    return Event(event_id="warm-up-picture", text="A picture.", media=(reference,))


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
