"""Disguised copies of training rows: which, how many, and that they only teach."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from data_contracts.config import Hardening, HardeningAttack, load_settings
from data_contracts.errors import ConfigurationError
from data_contracts.events import Event
from data_contracts.labels import LabelledEvent, LabelName
from pipelines.features.text.extraction import TextExtractor
from training.hardening import (
    GOOD_WORDS,
    NONE,
    SENTENCE_CHARACTERS,
    Copies,
    disguised_copies,
    with_copies,
)
from training.table import build_table
from training.train import Plan, train
from training.tuning import NoTrialLog

SPAM = ["win a free prize now", "claim your cash prize", "free cash call now", "cheap pills free"]
HAM = ["see you at home", "are you coming tonight", "the meeting is at noon", "thanks for lunch"]
WORDS = ["today", "soon", "friend", "please", "again", "later", "early", "maybe", "really", "ok"]


def hardening(*names: str, spam: float = 1.0, ham: float = 0.5) -> Hardening:
    attacks = {name: HardeningAttack(rates=(1.0,), reason="a test") for name in names}
    return Hardening(spam_share=spam, ham_share=ham, attacks=attacks)


def rows_of(texts: Sequence[str], label: LabelName) -> list[LabelledEvent]:
    return [
        LabelledEvent(Event(event_id=f"{label}-{at}", text=text), label, "generated")
        for at, text in enumerate(texts)
    ]


def copied(
    rows: Sequence[LabelledEvent], how: Hardening, *, folds: Sequence[int] | None = None
) -> Copies:
    places = np.array(folds if folds is not None else [0] * len(rows))
    return disguised_copies(rows, places, np.ones(len(rows), bool), how, seed=7)


def test_every_label_has_its_share_of_copies_and_a_copy_keeps_the_label() -> None:
    rows = [*rows_of(SPAM, "spam"), *rows_of(HAM, "ham")]
    copies = copied(rows, hardening("leetspeak", spam=1.5, ham=0.5))
    assert Counter(row.label for row in copies.rows) == {"spam": 6, "ham": 2}
    for row, origin in zip(copies.rows, copies.origins, strict=True):
        assert row.label == rows[origin].label
        assert row.event.text != rows[origin].event.text
    assert max(Counter(copies.origins[:6].tolist()).values()) == 2  # no row thrice before all twice


def test_no_share_or_no_attack_means_no_copies() -> None:
    rows = rows_of(SPAM, "spam")
    assert not copied(rows, NONE).rows
    assert not copied(rows, hardening("spacing", spam=0, ham=0)).rows
    assert not copied(rows, hardening(spam=1)).rows


def test_a_text_that_no_attack_changes_has_no_copy() -> None:
    assert not copied(rows_of(["12345"], "spam"), hardening("leetspeak")).rows


def test_the_same_seed_gives_the_same_copies() -> None:
    rows, how = rows_of(SPAM, "spam"), hardening("leetspeak", "homoglyph", "spacing")
    assert copied(rows, how).rows == copied(rows, how).rows


def test_rows_that_the_text_does_not_learn_from_are_not_copied() -> None:
    rows = rows_of(SPAM, "spam")
    learnt = np.array([True, False, False, False])
    how = hardening("leetspeak", spam=2.0)
    copies = disguised_copies(rows, np.zeros(4, np.int64), learnt, how, seed=7)
    assert copies.origins.tolist() == [0, 0]


def test_ordinary_words_come_from_ham_of_the_same_fold() -> None:
    """A model that is asked about a ham row must not have read it within a copy."""
    ham = rows_of(["of fold nought", "of fold one"], "ham")
    rows = [*rows_of(["win cash", "free pills"], "spam"), *ham]
    copies = copied(rows, hardening(GOOD_WORDS, ham=0.0), folds=[0, 1, 0, 1])
    said = {int(at): row.event.text for at, row in zip(copies.origins, copies.rows, strict=True)}
    assert "nought" in said[0]
    assert "one" not in said[0]
    assert "one" in said[1]
    assert "nought" not in said[1]


def test_ordinary_words_are_short_pieces_around_a_whole_message() -> None:
    rows = [*rows_of(["win cash"], "spam"), *rows_of(["x" * 500], "ham")]
    (copy,) = copied(rows, hardening(GOOD_WORDS, ham=0.0)).rows
    assert "win cash" in copy.event.text
    assert max(map(len, copy.event.text.split())) == SENTENCE_CHARACTERS


def test_an_unknown_attack_is_named_with_those_that_are_known() -> None:
    with pytest.raises(ConfigurationError, match=r"attacks\.magic is not one of good_words, .*"):
        copied(rows_of(SPAM, "spam"), hardening("magic"))


def test_the_configured_attacks_are_known_and_have_reasons() -> None:
    how = load_settings().training.hardening
    assert copied([*rows_of(SPAM, "spam"), *rows_of(HAM, "ham")], how).rows
    assert all(len(attack.reason.split()) > 3 for attack in how.attacks.values())


class _Encoder:
    def encode(self, text: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        total = np.zeros(8, np.float32)
        for at, letter in enumerate(text):
            total[(ord(letter) + at) % 8] += 1
        return (total / max(float(np.linalg.norm(total)), 1e-9)).astype(np.float32)


def _many() -> list[LabelledEvent]:
    rng = np.random.default_rng(0)
    rows: list[LabelledEvent] = []
    for number in range(80):
        label: LabelName = "spam" if number % 2 else "ham"
        texts = SPAM if number % 2 else HAM
        text = f"{texts[number // 2 % 4]} {' '.join(rng.choice(WORDS, 4))} {number}"
        rows.append(LabelledEvent(Event(event_id=f"e{number}", text=text), label, "generated"))
    return rows


def test_a_copy_stands_in_the_fold_of_its_original_and_is_read_by_the_originals_terms() -> None:
    rows, folds, encoder = _many(), np.arange(80) // 2 % 4, _Encoder()
    table, vocabulary, context = build_table(rows, encoder, print)
    learnt = np.arange(80) < 70
    copies = disguised_copies(rows, folds, learnt, hardening("spacing"), seed=7)
    extractor = TextExtractor(vocabulary, encoder)
    hardened = with_copies(table, folds, learnt, copies, extractor, context, print)
    assert len(hardened.table) == len(hardened.folds) == 80 + len(copies.rows)
    assert np.array_equal(hardened.folds[80:], folds[copies.origins])
    assert np.array_equal(hardened.table.targets[80:], table.targets[copies.origins])
    assert hardened.learnt[80:].all()
    assert np.array_equal(hardened.table.part(np.arange(80)).lexical, table.lexical)
    assert hardened.table.rarity is table.rarity
    assert (hardened.table.matrix[:80] != table.matrix).nnz == 0


def test_copies_teach_and_stand_in_the_record_but_are_never_judged(tmp_path: Path) -> None:
    encoder_file = tmp_path / "encoder-file.onnx"
    encoder_file.write_bytes(b"stands in for an encoder")
    plan = Plan(0, 3, 7, 0.001, tmp_path / "studies", hardening=hardening("leetspeak"))
    silent = lambda message: None  # noqa: E731
    trained = train(_many(), _Encoder(), encoder_file, plan, NoTrialLog(), silent)
    assert trained.training["hardening"] == {
        "copies": {"spam": 40, "ham": 20}, "attacks": {"leetspeak": 60},
    }  # fmt: skip
    stored = np.load(io.BytesIO(trained.parts.out_of_fold), allow_pickle=False)
    assert len(stored["scores"]) == len(stored["log_odds"]) == trained.training["rows"] == 80
    quality = trained.training["quality_out_of_fold"]
    assert [part["rows"] for part in quality] == [80, 80]
