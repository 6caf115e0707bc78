"""Events are weighed by the stages that their media call for before the answer."""

from __future__ import annotations

import hashlib

import pytest

from data_contracts.config import load_settings
from data_contracts.events import Event, MediaReference
from serving.expected_work import TEXT_MILLISECONDS, ExpectedWork

STAGES = load_settings({}).ensemble.stages


def event(*kinds: str) -> Event:
    digest = hashlib.sha256(b"x").hexdigest()
    media = tuple(
        MediaReference(kind=kind, sha256=digest, path="x")  # type: ignore[arg-type]
        for kind in kinds
    )
    return Event(event_id="e", text="hi", media=media)


def test_a_text_costs_little_and_media_what_their_stages_declare() -> None:
    work = ExpectedWork(STAGES)
    image = sum(one.cpu_milliseconds for one in STAGES.values() if one.modality == "image")
    assert work(event()) == TEXT_MILLISECONDS
    assert work(event("image")) == pytest.approx(TEXT_MILLISECONDS + image)
    assert work(event("image", "image")) == work(event("image"))
    assert work(event("image", "video")) == pytest.approx(
        work(event("image")) + STAGES["video"].cpu_milliseconds
    )


def test_stages_that_run_afterwards_do_not_hold_up_the_queue() -> None:
    work = ExpectedWork(STAGES, deferred=("ocr", "video"))
    assert work(event("video")) == TEXT_MILLISECONDS
    assert work(event("image")) == pytest.approx(
        TEXT_MILLISECONDS + STAGES["image"].cpu_milliseconds + STAGES["objects"].cpu_milliseconds
    )
