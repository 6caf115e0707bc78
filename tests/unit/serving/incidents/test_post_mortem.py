"""A draft from what is written down; what a person wrote is never overwritten."""

from __future__ import annotations

from pathlib import Path

from serving.incidents.post_mortem import draft
from tests.stand_ins.incident_world import IncidentWorld, alert

SLOW = alert("Slow", stage="ocr", cause="release <b>7</b>")


def a_world() -> IncidentWorld:
    world = IncidentWorld()
    world.lever.fails = True
    world.wait(60, SLOW)
    world.store.acknowledge(1, "ada")
    return world


def drafted(world: IncidentWorld, reports: Path) -> tuple[str, tuple[str, ...], Path]:
    found = draft(world.store, world.only(), world.tables.playbooks[0], reports)
    return found.path.read_text(encoding="utf-8"), found.kept, found.path


def test_it_tells_the_time_line_the_evidence_what_was_done_and_what_is_to_follow(
    tmp_path: Path,
) -> None:
    text, kept, path = drafted(a_world(), tmp_path)
    assert kept == ()
    for said in (
        "# Incident 1: Slow (stage ocr)",
        "until the first mitigation was done | 0 s",
        "abort\\_rollout failed: the lever does not move",
        "| Slow | stage ocr | 3 | 1 (0.5 to 2) | 6 |",
        "release &lt;b&gt;7&lt;/b&gt;",
        "Mend abort\\_rollout: the lever does not move | ada |",
        "acknowledged by ada",
    ):
        assert said in text, said
    (picture,) = path.parent.glob("*.svg")
    assert f"]({picture.name})" in text
    assert b"<svg" in picture.read_bytes()


def test_drafting_again_renews_what_nobody_touched_and_keeps_what_a_person_wrote(
    tmp_path: Path,
) -> None:
    world = a_world()
    text, _, path = drafted(world, tmp_path)
    mine = text.replace("<!-- A person. -->", "We were lucky: it was a Sunday.").replace(
        "| ada |  |", "| bo | Friday |", 1
    )
    path.write_text(mine, encoding="utf-8")
    world.store.resolve(1, "ada", "the stage was restarted")
    again, kept, _ = drafted(world, tmp_path)
    assert kept == ("follow-ups",)
    assert "We were lucky: it was a Sunday." in again
    assert "| bo | Friday |" in again
    assert "the stage was restarted" in again
    assert drafted(world, tmp_path)[0] == again


def test_a_block_that_a_person_removed_stays_away(tmp_path: Path) -> None:
    world = a_world()
    text, _, path = drafted(world, tmp_path)
    start, end = text.index("<!-- weir:begin factors"), text.index("<!-- weir:end factors -->")
    path.write_text(text[:start] + text[end + len("<!-- weir:end factors -->") :], encoding="utf-8")
    assert "weir:begin factors" not in drafted(world, tmp_path)[0]


def test_a_title_that_looks_like_the_template_or_its_marks_changes_nothing(tmp_path: Path) -> None:
    world = IncidentWorld()
    world.see(alert("{evidence} <!-- weir:end summary -->"))
    world.step()
    text, _, _ = drafted(world, tmp_path)
    assert text.count("weir:begin evidence") == 1
    assert text.count("<!-- weir:end summary -->") == 1
