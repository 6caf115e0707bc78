"""A whole training on generated events, and what its artefact promises."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest

from data_contracts.errors import BadInput, MissingPart
from data_contracts.events import Event
from data_contracts.labels import LabelledEvent
from pipelines.features.text.encoder import Embedding
from training.artefact_files import MANIFEST
from training.ensemble import Ensemble
from training.labelled_rows import check_rows, read_file
from training.registry.artefact import refuse_pickles
from training.thresholds import ALL, Thresholds
from training.train import Plan, train
from training.tuning import NoTrialLog

SPAM = ["win a free prize now", "claim your cash prize", "free cash call now", "cheap pills free"]
HAM = ["see you at home", "are you coming tonight", "the meeting is at noon", "thanks for lunch"]
WORDS = ["today", "soon", "friend", "please", "again", "later", "early", "maybe", "really", "ok"]


class WordEncoder:
    """A stand-in encoder: the unit sum of one fixed random vector a word."""

    def encode(self, text: str) -> Embedding:
        total = np.zeros(16)
        for word in text.lower().split():
            total += np.random.default_rng(crc32(word.encode())).normal(size=16)
        return (total / max(float(np.linalg.norm(total)), 1e-9)).astype(np.float32)


def _rows(count: int = 120) -> list[LabelledEvent]:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(count):
        texts = SPAM if number % 2 else HAM
        tail = " ".join(rng.choice(WORDS, 4))
        text = f"{texts[number % 4]} {tail} {texts[(number // 4) % 4]} {number}"
        event = Event(event_id=f"e{number}", text=text)
        rows.append(LabelledEvent(event, "spam" if number % 2 else "ham", "generated"))
    return rows


def _trained(
    folder: Path, trials: int = 0, rows: Sequence[LabelledEvent] | None = None
) -> Ensemble:
    encoder_file = folder / "encoder-file.onnx"
    encoder_file.write_bytes(b"stands in for an encoder")
    plan = Plan(trials, 3, 7, 0.001, folder / "studies")
    return train(
        rows or _rows(), WordEncoder(), encoder_file, plan, NoTrialLog(), lambda message: None
    )


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Ensemble:
    return _trained(tmp_path_factory.mktemp("model"))


def _events(texts: Sequence[str]) -> list[Event]:
    return [Event(event_id=f"t{number}", text=text) for number, text in enumerate(texts)]


def test_shifted_thresholds_change_the_action_and_not_the_score(ensemble: Ensemble) -> None:
    spam = _events(["free cash prize now"])
    (as_fitted,) = ensemble.assess(spam)
    (loosened,) = ensemble.assess(spam, threshold_shift=20.0)
    (unmoved,) = ensemble.assess(spam, threshold_shift=0.0)
    assert as_fitted.action != "allow"
    assert (loosened.action, loosened.score) == ("allow", as_fitted.score)
    assert unmoved == as_fitted


def test_spam_scores_above_ham(ensemble: Ensemble) -> None:
    spam, ham = ensemble.assess(_events(["free cash prize now", "see you at the meeting"]))
    assert spam.score > 0.5 > ham.score
    assert spam.is_positive
    assert "wording_of_spam" in spam.reasons
    assert ham.action == "allow"


def test_every_answer_names_the_three_stages_in_order(ensemble: Ensemble) -> None:
    for assessment in ensemble.assess(_events(["free cash", "see you", "", "加微信"])):
        assert [stage.name for stage in assessment.stages] == ["prefilter", "text", "meta_learner"]
        assert all(stage.ran or stage.skipped_because for stage in assessment.stages)
        assert assessment.score == round(assessment.score, 6)


def test_all_stages_run_where_that_is_asked_for(ensemble: Ensemble) -> None:
    for assessment in ensemble.assess(_events(HAM), every_stage=True):
        assert all(stage.ran for stage in assessment.stages)


def test_an_answer_depends_on_neither_neighbours_nor_order(ensemble: Ensemble) -> None:
    events = _events([*SPAM, *HAM, "x" * 5000, "fr\u0435\u0435 c.a.s.h"])
    together = ensemble.assess(events)
    alone = [ensemble.assess([event])[0] for event in events]
    assert together == alone
    assert ensemble.assess(events[::-1])[::-1] == together


def test_a_declared_language_chooses_the_thresholds_and_leaves_the_score(
    ensemble: Ensemble,
) -> None:
    strict, lenient = (0.0, 2.0, 2.0, 2.0), (2.0, 2.0, 2.0, 2.0)
    thresholds = Thresholds(0.001, {ALL: lenient, "latin-short/tr": strict})
    policy = dataclasses.replace(ensemble.parts.policy, thresholds=thresholds)
    model = Ensemble(dataclasses.replace(ensemble.parts, policy=policy), WordEncoder())
    events = [
        Event(event_id="e", text=SPAM[0], language=language) for language in (None, "en", "tr-TR")
    ]
    plain, english, turkish = model.assess(events, every_stage=True)
    assert (plain.action, english.action, turkish.action) == ("allow", "allow", "limit")
    assert plain.score == english.score == turkish.score


def test_the_same_rows_and_seed_train_the_same_model(ensemble: Ensemble, tmp_path: Path) -> None:
    again = _trained(tmp_path)
    assert again.version == ensemble.version
    assert again.threshold_version == ensemble.threshold_version


def test_a_saved_model_answers_as_before_and_holds_no_pickle(
    ensemble: Ensemble, tmp_path: Path
) -> None:
    ensemble.save(tmp_path / "model")
    loaded = Ensemble.load(tmp_path / "model", WordEncoder())
    events = _events([*SPAM, *HAM])
    assert loaded.assess(events) == ensemble.assess(events)
    assert loaded.version == ensemble.version
    refuse_pickles(tmp_path / "model")
    kinds = {path.suffix for path in (tmp_path / "model").iterdir()}
    assert kinds == {".onnx", ".txt", ".json", ".npz"}


def test_a_changed_file_is_refused_by_name(ensemble: Ensemble, tmp_path: Path) -> None:
    ensemble.save(tmp_path / "model")
    (tmp_path / "model" / "prefilter.txt").write_text("changed")
    with pytest.raises(BadInput, match=r"prefilter\.txt has sha256"):
        Ensemble.load(tmp_path / "model")


def test_an_absent_file_and_an_absent_manifest_are_named(
    ensemble: Ensemble, tmp_path: Path
) -> None:
    ensemble.save(tmp_path / "model")
    (tmp_path / "model" / "policy.json").unlink()
    with pytest.raises(MissingPart, match=r"policy\.json is absent"):
        Ensemble.load(tmp_path / "model")
    (tmp_path / "model" / MANIFEST).unlink()
    with pytest.raises(MissingPart, match="holds no manifest"):
        Ensemble.load(tmp_path / "model")


def test_a_folder_with_other_things_is_not_overwritten(ensemble: Ensemble, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("keep me")
    with pytest.raises(BadInput, match="give another --output"):
        ensemble.save(tmp_path)


def test_quality_is_reported_by_dataset_and_a_search_is_counted(tmp_path: Path) -> None:
    training = _trained(tmp_path, trials=1).training
    assert training["trials"] == 1
    assert [figure["dataset"] for figure in training["quality_out_of_fold"]] == ["all", "generated"]
    assert training["quality_out_of_fold"][0]["average_precision"] > 0.95


def test_whole_datasets_are_what_thresholds_rest_on(ensemble: Ensemble) -> None:
    assert ensemble.training["thresholds_fitted_on"] == {
        "source": "whole datasets", "rows": 120, "spam": 60, "ham": 60, "effective_ham": 60.0,
        "ham_for_one_false_positive": 1000,
    }  # fmt: skip
    assert "weighted_recall" not in ensemble.training["quality_out_of_fold"][0]


def test_chosen_labels_do_not_set_thresholds_and_a_reviewer_sees_what_did(
    tmp_path: Path, ensemble: Ensemble
) -> None:
    rows = [
        dataclasses.replace(row, inclusion_probability=0.25 if number % 3 else None)
        for number, row in enumerate(_rows())
    ]
    audited = _trained(tmp_path, rows=rows)
    told = audited.training["thresholds_fitted_on"]
    assert (told["source"], told["rows"], told["ham"]) == ("audit", 80, 40)
    assert "only 40 ham" in audited.training["calibration_fitted_on"]["source"]
    assert audited.training["quality_out_of_fold"][0]["weighted_rows"] == 80
    assert audited.threshold_version != ensemble.threshold_version
    chosen = [dataclasses.replace(row, inclusion_probability=None) for row in rows]
    told = _trained(tmp_path, rows=chosen).training["thresholds_fitted_on"]
    assert (told["source"], told["ham"]) == ("all rows, no audit labels", 60)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"line 2: line = .* not JSON"),
        ('{"event_id": "a", "text": "b"}', r"line 2: label = None: is missing"),
        ('{"event_id": "a", "text": "b", "label": "junk"}', r"line 2: label = 'junk'"),
        ('{"event_id": "a", "label": "ham"}', r"line 2: text = None"),
        ('{"event_id": "a", "text": "b", "label": "ham", "is_spam": 0}', r"line 2: is_spam = 0"),
    ],
)
def test_a_bad_line_is_refused_with_file_line_field_and_value(
    tmp_path: Path, line: str, message: str
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"event_id": "e", "text": "t", "label": "spam"}) + "\n" + line)
    with pytest.raises(BadInput, match=rf"rows\.jsonl {message}"):
        read_file(path)


def test_one_class_and_too_few_rows_are_refused() -> None:
    rows = _rows()
    with pytest.raises(BadInput, match="only one class"):
        check_rows([row for row in rows if row.is_spam] * 2, "file")
    with pytest.raises(BadInput, match="at least 40"):
        check_rows(rows[:10], "file")
    few = [dataclasses.replace(row, label="ham") for row in rows[:100]]
    with pytest.raises(BadInput, match="10 of each"):
        check_rows([*few, rows[1]], "file")
