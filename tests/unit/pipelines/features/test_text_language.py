"""The language of a text: by its script where that is enough, else by the model that ships."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from math import isnan
from typing import NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.features.text.language import (
    Guess,
    agreement,
    language_of,
    mixed_words,
    scripts_of,
)


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("How are you doing today, my friend?", "en"),
        ("Bugün hava çok güzel, dışarı çıkalım mı?", "tr"),
        ("Ich komme heute etwas später nach Hause", "de"),
        ("привет, как у тебя дела сегодня", "ru"),
        ("नमस्ते दोस्त, आज आप कैसे हैं", "hi"),
        ("加微信", "zh"),
        ("今日はとても暑いですね", "ja"),
        ("안녕하세요", "ko"),
        ("καλημέρα", "el"),
    ],
)
def test_a_language_is_recognised(text: str, tag: str) -> None:
    assert language_of(text).tag == tag


@pytest.mark.parametrize("text", ["", "  ", "12345", "🎉🎉", "https://example.com/hello", "@bob"])
def test_a_text_without_words_is_of_no_language(text: str) -> None:
    assert language_of(text) == Guess("und", 0.0)


def test_links_and_handles_do_not_sway_the_guess() -> None:
    assert language_of("Guten Morgen zusammen https://the-english-site.com/with/words").tag == "de"


def test_the_network_is_never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> NoReturn:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert language_of("this is a plain English sentence").tag == "en"


def test_threads_get_the_same_answers() -> None:
    texts = ["good morning to all", "guten Morgen allerseits", "bonjour à tous"] * 40
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(language_of, texts)) == [language_of(text) for text in texts]


@given(st.text(max_size=200))
@settings(max_examples=50, deadline=None)
def test_every_text_has_a_guess_with_a_probability(text: str) -> None:
    guess = language_of(text)
    assert guess.tag
    assert 0.0 <= guess.probability <= 1.0


def test_scripts_are_counted_by_letters_the_main_one_first() -> None:
    assert scripts_of("abc где 你") == {"latin": 3, "cyrillic": 3, "han": 1}
    assert next(iter(scripts_of("ab где"))) == "cyrillic"
    assert scripts_of("123 !") == {}


def test_a_word_of_two_alphabets_is_mixed_and_a_chinese_one_is_not() -> None:
    assert mixed_words("p\u0430ypal") == 1
    assert mixed_words("привет paypal") == 0
    assert mixed_words("微信app") == 0


def test_agreement_is_unknown_without_a_declared_or_a_guessed_language() -> None:
    assert agreement(Guess("en", 0.9), "en-GB") == 1.0
    assert agreement(Guess("en", 0.9), "tr") == 0.0
    assert isnan(agreement(Guess("en", 0.9), None))
    assert isnan(agreement(Guess("und", 0.0), "en"))
