"""Composed traffic: what a plan asks for is there, nothing leaks, and no source is on two sides."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from data_contracts.config import load_settings
from pipelines.enrichment import Enrichment
from pipelines.feature_store.states import MemoryStates
from pipelines.features.behaviour.state import BehaviourState
from pipelines.image_sets import DREDZE_PERSONAL, read_images
from pipelines.near_duplicates import group_related
from pipelines.simulation.composition.attacks_mixed import HELD_OUT_MIXTURES
from pipelines.simulation.composition.composing import Composition, Plan, compose
from pipelines.simulation.composition.ordinary import SCENES
from pipelines.simulation.composition.recipes import HELD_OUT, ORDINARY_SPAM, RECIPES, TRAINING
from pipelines.simulation.composition.signals import SIGNALS, Signal
from pipelines.simulation.composition.sources import Sources, made_up, read_sources

SEED = 5
SIGNALS_OF_PEOPLE: dict[Signal, float] = {  # the least share of ham that carries it
    "link": 0.08, "offer": 0.03, "advert_picture": 0.02, "text_picture": 0.1, "newcomer": 0.05,
    "burst": 0.02, "ring": 0.05, "shared_device": 0.12, "automation": 0.03, "copied": 0.15,
    "synchronous": 0.04, "foreign_network": 0.05, "new_device": 0.01,
}  # fmt: skip


@cache
def sources() -> Sources:
    return made_up(texts=2400, pictures=4, profiles=8)


@cache
def training() -> Composition:
    return compose(sources(), Plan(events=1500, buckets=(0, 2, 4, 6)), np.random.default_rng(SEED))


@cache
def test() -> Composition:
    plan = Plan(events=1200, recipes=TRAINING + HELD_OUT, buckets=(1, 3, 5))
    return compose(sources(), plan, np.random.default_rng(SEED + 1))


test.__test__ = False  # type: ignore[attr-defined]


def spam_of(composition: Composition, recipe: str) -> list[str]:
    return [
        event_id
        for event_id, name in composition.recipes.items()
        if name == recipe and composition.labels[event_id] == "spam"
    ]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not() -> None:
    plan = Plan(events=90, spam_share=0.5, buckets=(8,))
    first, second, other = (
        compose(sources(), plan, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert first == second
    assert first.events != other.events


def test_labels_and_recipes_are_as_planned() -> None:
    plan = Plan(events=1500, buckets=(0, 2, 4, 6))
    assert plan.spam() == {
        "plain_advert": 34, "spam_picture": 34, "split_advert": 16, "advert_in_picture": 16,
        "device_farm": 16, "cross_posted": 16, "good_words": 16, "inserted_frames": 16,
        "admirers": 16, "mixed_words": 15, "mixed_pictures": 15, "mixed_accounts": 15,
    }  # fmt: skip
    assert Counter(training().labels.values()) == {"ham": 1275, "spam": 225}
    for recipe, count in plan.spam().items():
        assert len(spam_of(training(), recipe)) == count
    everyday = {scene.name for scene in SCENES}
    ham = {training().recipes[e] for e, label in training().labels.items() if label == "ham"}
    assert everyday < ham | {"flyer"}


def test_recipes_held_out_are_absent_from_training_and_present_in_the_test() -> None:
    assert len(HELD_OUT) >= 4
    assert not set(HELD_OUT) & set(training().recipes.values())
    assert set(HELD_OUT) <= set(test().recipes.values())


def test_recipes_held_out_combine_known_signals_in_sets_that_training_never_has() -> None:
    seen = [recipe.signals for recipe in RECIPES if not recipe.held_out]
    for recipe in (recipe for recipe in RECIPES if recipe.held_out):
        assert recipe.signals <= frozenset[Signal]().union(*seen)
        assert not any(recipe.signals <= other for other in seen)


def test_no_text_picture_account_device_or_host_is_on_two_sides() -> None:
    sides = []
    for composition in (training(), test()):
        events = composition.events
        sides.append(
            {event.text for event in events}
            | {media.sha256 for event in events for media in event.media}
            | {str(event.account) for event in events}
            | {str(event.context["device"]) for event in events}
            | {word.split("/")[2] for event in events for word in event.text.split()
               if word.startswith("https://")}
        )  # fmt: skip
    assert not sides[0] & sides[1]


def test_rows_that_are_related_share_their_group() -> None:
    rows = training().labelled()
    found = defaultdict(set)
    for related, row in zip(group_related(rows), rows, strict=True):
        found[related].add(row.group)
    assert [groups for groups in found.values() if len(groups) > 1] == []
    assert {row.dataset for row in rows} == {"composed"}


def test_buckets_divide_the_sources() -> None:
    one, other = sources().within({0, 1}), sources().within(set(range(2, 20)))
    assert not one.event_ids & other.event_ids
    assert one.event_ids | other.event_ids == sources().event_ids
    assert not one.picture_sha256 & other.picture_sha256


def test_ham_carries_each_weak_signal() -> None:
    ham = [e for e, label in training().labels.items() if label == "ham"]
    carried = Counter(signal for e in ham for signal in training().signals[e])
    for signal, least in SIGNALS_OF_PEOPLE.items():
        assert carried[signal] / len(ham) >= least, signal
    assert carried["card"] > 0
    assert 0 < carried["advert"] / len(ham) < 0.03


def test_attacks_carry_the_signals_of_their_recipe() -> None:
    for recipe in RECIPES:
        events = spam_of(test(), recipe.name)
        carried = Counter(signal for e in events for signal in test().signals[e])
        for signal in recipe.signals:
            assert carried[signal] >= 0.3 * len(events), (recipe.name, signal)
    assert {signal for recipe in RECIPES for signal in recipe.signals} <= set(SIGNALS)


def test_neither_half_of_a_split_advertisement_is_the_advertisement() -> None:
    adverts = {" ".join(source.text.split()) for source in sources().texts if source.is_spam}
    texts = {event.event_id: " ".join(event.text.split()) for event in test().events}
    for recipe in ("split_advert", "farm_split"):
        for event_id in spam_of(test(), recipe):
            assert not any(advert in texts[event_id] for advert in adverts)


def test_a_farm_posts_from_few_devices_within_half_an_hour() -> None:
    farm = set(spam_of(test(), "device_farm"))
    by_device = defaultdict(list)
    for event in test().events:
        if event.event_id in farm:
            by_device[event.context["device"]].append(event)
    for events in by_device.values():
        times = [event.occurred_at for event in events if event.occurred_at]
        assert (max(times) - min(times)).total_seconds() <= 1800
        assert len({event.context["client"] for event in events}) == 1
    assert len({event.account for events in by_device.values() for event in events}) == len(farm)
    assert len(farm) / len(by_device) >= 2


def test_a_hijacked_account_changes_device_after_ham_of_its_own() -> None:
    stolen = set(spam_of(test(), "hijacked_account"))
    owners = {event.account for event in test().events if event.event_id in stolen}
    for owner in owners:
        own = [event for event in test().events if event.account == owner]
        labels = [test().labels[event.event_id] for event in own]
        assert labels == sorted(labels)  # ham first, then spam
        devices = {
            label: {e.context["device"] for e in own if test().labels[e.event_id] == label}
            for label in ("ham", "spam")
        }
        assert not devices["ham"] & devices["spam"]


def test_the_truth_stands_in_no_event() -> None:
    names = {recipe.name for recipe in RECIPES} | {scene.name for scene in SCENES}
    for composition in (training(), test()):
        keys = {label: set[str]() for label in ("ham", "spam")}
        for event in composition.events:
            keys[composition.labels[event.event_id]] |= set(event.context)
            assert event.context["composed"] == "yes"
            assert not names & {str(value) for value in event.context.values()}
        assert keys["ham"] == keys["spam"]


def test_media_resolve_under_the_root_and_their_sha256_fits(tmp_path: Path) -> None:
    training().write_media(tmp_path)
    references = {media for event in training().events for media in event.media}
    assert {reference.kind for reference in references} == {"image", "video"}
    for reference in references:
        content = (tmp_path / str(reference.path)).read_bytes()
        assert hashlib.sha256(content).hexdigest() == reference.sha256
    assert {str(reference.path) for reference in references} == set(training().media)


def test_actions_are_in_order_and_confirmation_comes_after_the_spam() -> None:
    times = [action.at for action in test().actions]
    assert times == sorted(times)
    first = {}
    for event in test().events:
        if test().labels[event.event_id] == "spam":
            first.setdefault(event.account, event.occurred_at)
    confirmed = [action for action in test().actions if action.kind == "confirmed_spam"]
    assert confirmed
    assert all(action.at > first[action.target] for action in confirmed)
    ordered = [event.occurred_at for event in test().events]
    assert ordered == sorted(ordered)


class _Nothing:
    def features(self, event: object, media: object) -> dict[str, float]:
        return {}

    def observe(self, event: object, media: object) -> None:
        pass


def test_enrichment_adds_the_past_and_changes_nothing_else() -> None:
    enrichment = Enrichment(BehaviourState(MemoryStates()), _Nothing(), None)  # type: ignore[arg-type]
    enriched = training().enriched(enrichment)
    assert not enrichment.failures
    for before, after in zip(training().events, enriched.events, strict=True):
        assert after.model_copy(update={"context": before.context}) == before
        assert any(key.startswith("behaviour.") for key in after.context)


def test_a_plan_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="'nonsense' is none of plain_advert"):
        Plan(recipes=("nonsense",))
    with pytest.raises(ValueError, match="share 2 is outside"):
        Plan(spam_share=2)
    with pytest.raises(ValueError, match="2 days, 20 buckets"):
        Plan(days=2)
    assert set(Plan(recipes=()).spam()) == set(ORDINARY_SPAM)


def test_mixed_campaigns_have_enough_signals_and_are_no_held_out_recipe() -> None:
    mixed = [e for e, name in training().recipes.items() if name.startswith("mixed")]
    spam = [training().signals[e] for e in mixed if training().labels[e] == "spam"]
    assert len(spam) == 45
    assert not [one for one in spam if any(held <= one for held in HELD_OUT_MIXTURES)]
    drawn = {frozenset(one) for one in spam}
    assert len(drawn) > 4, "campaigns differ"


def test_without_any_dataset_sources_are_made_up_and_said_to_be(tmp_path: Path) -> None:
    nowhere = {"WEIR__DATA__ROOT": str(tmp_path / "no-data"), "WEIR__DATA__DOWNLOAD": "false"}
    settings = load_settings({"WEIR_HOME": str(tmp_path), **nowhere})
    said: list[str] = []
    found = read_sources(settings.data, settings.cache, said.append)
    assert found.synthetic == {"texts", "pictures", "clips", "profiles"}
    assert sum("SYNTHETIC" in line for line in said) == 4
    assert compose(found, Plan(events=30, buckets=(0,)), np.random.default_rng(0)).synthetic


@pytest.mark.dataset
def test_real_sources_are_composed_without_private_photos() -> None:
    settings = load_settings()
    found = read_sources(settings.data, settings.cache, lambda _line: None)
    if found.synthetic:
        pytest.skip(f"the sets of {', '.join(sorted(found.synthetic))} are absent")
    private = {image.sha256 for image in read_images(settings.data, DREDZE_PERSONAL)
               if not image.is_spam}  # fmt: skip
    assert not private & found.picture_sha256
    composition = compose(found, Plan(events=60, buckets=(0, 6)), np.random.default_rng(0))
    assert Counter(composition.labels.values()) == {"ham": 51, "spam": 9}
