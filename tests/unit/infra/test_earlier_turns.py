"""A second turn starts empty, and nothing of the first is lost."""

from __future__ import annotations

from pathlib import Path

from infra.local.earlier_turns import has_earlier_turn, set_aside


def test_state_moves_and_secrets_and_caches_stay(tmp_path: Path) -> None:
    for name in ("lake", "landing", "mlflow", "cache", "reports"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "secrets.env").write_text("A=b\n")
    assert has_earlier_turn(tmp_path)
    first = set_aside(tmp_path)
    assert not has_earlier_turn(tmp_path)
    assert (first / "lake" / "file").read_text() == "lake"
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {"cache", "earlier", "reports", "secrets.env"}


def test_every_turn_has_a_folder_of_its_own(tmp_path: Path) -> None:
    names = []
    for _ in range(2):
        (tmp_path / "lake").mkdir()
        names.append(set_aside(tmp_path).name)
    assert names == ["1", "2"]
