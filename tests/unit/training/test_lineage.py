"""Lineage is traced when a model is trained and comes back from the artefact."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from data_contracts.config import Settings, load_settings
from data_contracts.errors import BadInput
from pipelines import lake
from training import lineage


def label(event_id: str, day: str, reviewer: str) -> dict[str, object]:
    return {
        "event_id": event_id, "label": "spam", "source": "reviewer", "reviewer": reviewer,
        "strategy": "audit", "inclusion_probability": 0.1,
        "observed_at": datetime(2026, 1, 6, tzinfo=UTC), "batch": f"{day}/{reviewer}",
    }  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    home = tmp_path / "home"
    (home / "lake").mkdir(parents=True)
    (home / "lake" / "events.dvc").write_text("outs:\n- md5: abc123.dir\n  path: events\n")
    password = {"WEIR__STATE__URL": "postgresql://weir:hidden-word@db/weir"}
    return load_settings({"WEIR_HOME": str(home), **password})


def test_lineage_names_hashes_days_labels_and_datasets(settings: Settings) -> None:
    traced = lineage.trace(settings, ["2026-01-06", "2026-01-05"], ["sms", "sms"])
    assert traced.dataset_hashes == {"events": "abc123.dir"}
    assert traced.lake_days == ("2026-01-05", "2026-01-06")
    assert traced.label_batches == {}
    assert traced.datasets == ("sms",)
    tags = traced.as_tags()
    assert tags["weir.dataset_hashes"] == '{"events":"abc123.dir"}'
    assert tags["weir.configuration"].startswith("sha256:")


def test_lineage_counts_the_labels_of_each_batch(settings: Settings) -> None:
    for day, reviewers in {"2026-01-05": ["ada", "ada", "bob"], "2026-01-06": ["bob"]}.items():
        records = [label(f"{day}-{n}", day, who) for n, who in enumerate(reviewers)]
        lake.write(settings.lake, "labels", day, lake.rows("labels", records))
    traced = lineage.trace(settings, ["2026-01-05", "2026-01-06"])
    assert traced.label_batches == {
        "2026-01-05/ada": 2, "2026-01-05/bob": 1, "2026-01-06/bob": 1
    }  # fmt: skip
    assert lineage.batches_in_tags(traced.as_tags()) == traced.label_batches


def test_more_batches_than_a_tag_holds_come_back_from_several(settings: Settings) -> None:
    many = {f"2026-01-05/reviewer-{number:04d}": number for number in range(1000)}
    tags = replace(lineage.trace(settings), label_batches=many).as_tags()
    assert lineage.batches_in_tags(tags) == many
    parts = [value for key, value in tags.items() if key.startswith(lineage.BATCH_TAG)]
    assert len(parts) > 1
    assert max(len(part.encode()) for part in parts) <= lineage.TAG_BYTES


def test_a_lineage_of_days_may_have_seen_a_batch_of_one_of_them() -> None:
    old = {"2026-01-05": 40}
    assert lineage.saw(old, "2026-01-05/ada", ["2026-01-05"]) is None
    assert lineage.saw(old, "2026-01-06/ada", ["2026-01-06"]) is False
    assert lineage.saw({"2026-01-05/ada": 3}, "2026-01-05/ada", ["2026-01-05"]) is True


def test_the_configuration_is_kept_without_secrets_or_paths(settings: Settings) -> None:
    kept = str(lineage.trace(settings).configuration)
    assert "hidden-word" not in kept
    assert str(settings.home) not in kept
    assert str(settings.data.root) not in kept
    assert "target_false_positive_rate" in kept


def test_the_same_configuration_has_the_same_hash_in_another_home(
    settings: Settings, tmp_path: Path
) -> None:
    elsewhere = settings.model_copy(update={"home": tmp_path})
    changed = settings.model_copy(
        update={"training": settings.training.model_copy(update={"trials": 99})}
    )
    here = lineage.trace(settings).configuration_hash
    assert lineage.trace(elsewhere).configuration_hash == here
    assert lineage.trace(changed).configuration_hash != here


def test_lineage_comes_back_from_the_artefact(settings: Settings, tmp_path: Path) -> None:
    traced = lineage.trace(settings, ["2026-01-05"], ["sms"])
    lineage.write_lineage(tmp_path, traced)
    assert lineage.read_lineage(tmp_path) == traced
    assert lineage.read_lineage(tmp_path / "home") is None
    (tmp_path / lineage.FILE).write_text("{}")
    with pytest.raises(BadInput, match="is no lineage"):
        lineage.read_lineage(tmp_path)


def test_without_git_the_commit_is_unknown_and_says_why(tmp_path: Path) -> None:
    assert lineage._commit(tmp_path) == ("unknown", "not a git checkout with a commit")


def test_a_changed_checkout_is_marked_dirty(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True)

    git("init", "--quiet")
    (tmp_path / "file").write_text("a")
    git("add", "file")
    git("commit", "--quiet", "-m", "first")
    commit, note = lineage._commit(tmp_path)
    assert (len(commit), note) == (40, "")
    (tmp_path / "file").write_text("b")
    assert lineage._commit(tmp_path) == (f"{commit}-dirty", "1 tracked files differ from it")
