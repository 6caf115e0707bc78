"""Where the gates' questions come from."""

from __future__ import annotations

from pathlib import Path

from data_contracts.config import load_settings
from evaluation.gates.suite import dataset_suite, lake_suite
from pipelines.holdout import is_held_out
from tests.unit.evaluation.made_lake import write_events, write_labels

WORDS = ["apple", "bridge", "candle", "dragon", "engine", "forest", "garden", "hammer", "island"]
TEXTS = [f"{one} and {other} {one[::-1]}{other}" for one in WORDS for other in WORDS]


def test_the_lakes_suite_holds_exactly_the_labelled_rows_that_training_leaves_out(
    tmp_path: Path,
) -> None:
    ids = write_events(tmp_path, "2026-01-05", TEXTS)
    write_labels(tmp_path, "2026-01-05", dict.fromkeys(ids[:60], "ham"))
    suite = lake_suite(tmp_path)
    held = {case.event.text for case in suite.cases}
    assert held == {text for text in TEXTS[:60] if is_held_out(text)}
    assert held
    assert suite.left_out == 0


def test_what_a_sampler_chose_is_not_an_ordinary_case(tmp_path: Path) -> None:
    ids = write_events(tmp_path, "2026-01-05", TEXTS)
    write_labels(tmp_path, "2026-01-05", dict.fromkeys(ids[:40], "ham"))
    chosen = dict.fromkeys(ids[40:], "spam")
    write_labels(tmp_path, "2026-01-05", chosen, chance=None, strategy="uncertainty")
    suite = lake_suite(tmp_path)
    kinds = {case.event.event_id: case.kind for case in suite.cases}
    assert set(kinds.values()) == {"ordinary", "chosen"}
    assert all((kind == "chosen") == (key in chosen) for key, kind in kinds.items())
    assert all(case.kind == "ordinary" for case in suite.ordinary.cases)


def test_a_lake_without_labels_gives_an_empty_suite(tmp_path: Path) -> None:
    assert lake_suite(tmp_path).cases == ()


def test_files_become_a_suite_with_one_dataset_a_file(tmp_path: Path) -> None:
    for name in ("one", "two"):
        line = f'{{"event_id": "{name}", "text": "hello {name}", "label": "ham"}}'
        (tmp_path / f"{name}.jsonl").write_text(line)
    suite = dataset_suite([str(tmp_path / f"{n}.jsonl") for n in ("one", "two")], load_settings())
    assert suite.datasets == ("one", "two")
    assert suite.labels.tolist() == [False, False]
    assert [case.language for case in suite.cases] == ["und", "und"]
