"""How `make review` starts Label Studio: on loopback, closed, and without secrets in sight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from data_contracts.config import Settings, load_settings
from data_contracts.errors import ConfigurationError, MissingPart
from data_contracts.secrets import LABEL_STUDIO_TOKEN, create_local_secrets
from infra.local import review, setup


def _settings(home: Path, **environ: str) -> Settings:
    create_local_secrets(home)
    return load_settings({"WEIR_HOME": str(home), **environ})


def test_secrets_are_in_the_servers_environment_and_not_on_its_command_line(
    tmp_path: Path,
) -> None:
    secrets = create_local_secrets(tmp_path)
    process = review.process(_settings(tmp_path))
    assert process.environment["LABEL_STUDIO_USER_TOKEN"] == secrets[LABEL_STUDIO_TOKEN]
    assert not [value for value in secrets.values() if value in " ".join(process.argv)]


def test_the_server_listens_on_loopback_and_lets_nobody_in_uninvited(tmp_path: Path) -> None:
    process = review.process(_settings(tmp_path))
    at = process.argv.index("--internal-host")
    assert process.argv[at + 1] == "127.0.0.1"
    assert process.environment["LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK"] == "True"
    assert process.environment["LABEL_STUDIO_COLLECT_ANALYTICS"] == "False"


@pytest.mark.parametrize("url", ["http://review.example:8590", "https://127.0.0.1:8590"])
def test_a_server_elsewhere_is_not_ours_to_start(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigurationError, match="review-sync"):
        review.process(_settings(tmp_path, WEIR__REVIEW__URL=url))


def test_an_environment_that_cannot_be_made_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_disk(name: str) -> None:
        raise OSError(f"no space for {name}")

    monkeypatch.setattr(review, "ensure", without_disk)
    with pytest.raises(MissingPart, match=r"\.venv-review .*no space"):
        review.install()


def test_make_setup_leaves_the_review_environment_for_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[str] = []
    monkeypatch.setattr(setup, "ensure", made.append)
    monkeypatch.setattr(setup, "_write_local_secrets", lambda: None)
    assert setup.main() == 0
    assert made == [".venv", ".venv-airflow", ".venv-kubeflow"]


def test_what_a_sync_did_is_one_line_and_each_change_another(
    capsys: pytest.CaptureFixture[str],
) -> None:
    done: dict[str, Any] = {
        "created": 3, "submitted": 2, "released": 0, "unused": 1, "unclear": 0,
        "without_event": 0, "changed": ["2026-01-05/e by label-studio:ab"],
    }  # fmt: skip
    review.say_sync(done)
    first, second = capsys.readouterr().out.splitlines()
    assert first == "3 tasks sent, 2 answers brought, 1 unused"
    assert "2026-01-05/e by label-studio:ab" in second
