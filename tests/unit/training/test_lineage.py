"""Lineage is traced when a model is trained and comes back from the artefact."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from data_contracts.config import Settings, load_settings
from data_contracts.errors import BadInput
from training import lineage


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
    assert traced.label_batches == {"2026-01-05": 0, "2026-01-06": 0}
    assert traced.datasets == ("sms",)
    tags = traced.as_tags()
    assert tags["weir.dataset_hashes"] == '{"events":"abc123.dir"}'
    assert tags["weir.configuration"].startswith("sha256:")


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
