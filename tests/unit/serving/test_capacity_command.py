"""`python -m serving plan`: what a person sees, what a program reads, and what is refused."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from data_contracts.command_line import main
from serving.__main__ import VERBS
from serving.capacity.service_times import encoded
from tests.unit.serving.capacity_cases import TIMES

QUICK = ("--requests", "3000", "--replications", "3", "--reaction-seconds", "2")


@pytest.fixture
def times(tmp_path: Path) -> Path:
    path = tmp_path / "times.json"
    path.write_bytes(encoded(TIMES))
    return path


def run(*arguments: str, rate: str = "20000") -> int:
    return main("serving", "", VERBS, ["plan", "--verdicts-per-second", rate, *arguments])


def test_a_person_gets_tables_and_a_program_the_record(
    times: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = tmp_path / "plan.json"
    mix = ("--mix", "text=80,image=15,account=5", "--service-times", str(times))
    assert run(*mix, *QUICK, "--result", str(result)) == 0
    said = capsys.readouterr().out
    record = orjson.loads(result.read_bytes())
    assert f"{record['cpu_pods']['least']:,} CPU pods" in said
    assert f"{record['cpu_pods']['keeps_a_lost_zone']:,} CPU pods also keep a lost zone" in said
    assert "A simulation" in said
    assert "Made up for a test." in said
    assert "No GPU was measured" in said
    assert all(pool["pool"] in said for pool in record["pools"])


def test_without_result_only_the_tables_are_printed(
    times: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--mix", "text=1", "--service-times", str(times), "--zones", "1", *QUICK) == 0
    said = capsys.readouterr().out
    assert "{" not in said
    assert "lost zone" not in said
    assert "zone is lost" not in said


def test_the_page_stands_alone_and_says_that_it_is_a_simulation(
    times: Path, tmp_path: Path
) -> None:
    page = tmp_path / "plan.html"
    asked = ("--mix", "text=9,image=1", "--service-times", str(times), "--html", str(page))
    assert run(*asked, *QUICK) == 0
    html = page.read_text()
    assert "A simulation" in html
    assert html.count("<svg") == 2
    assert "http" not in html.replace("http://www.w3.org", "").replace(
        "http://purl.org", ""
    ).replace("http://creativecommons.org", "").replace("https://matplotlib.org", "")
    assert "<script" not in html


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--spam-share", "2"), "--spam-share 2"),
        (("--zones", "0"), "--zones 0"),
        (("--mix", "sound=3"), "--mix part 'sound=3'"),
        (("--p99-milliseconds", "0.5"), "--p99-milliseconds"),
        (("--maximum-utilisation", "1"), "--maximum-utilisation 1"),
        (("--burst-variation", "9"), "--burst-variation 9"),
        (("--service-times", "no-such-file"), "no-such-file"),
        (("--replications", "1"), "--replications 1"),
        (("--zones", "2.5"), "--zones 2.5 is not a whole number; give 2"),
        (("--cores-per-pod", "3.5"), "--cores-per-pod 3.5 is not a whole number"),
        (("--seed", "-1"), "--seed -1"),
    ],
)
def test_what_makes_no_sense_is_bad_input(
    arguments: tuple[str, ...], named: str, times: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--service-times", str(times), "--mix", "text=1", "--requests", "1000")
    assert run(*given, *arguments) == 2
    assert named in capsys.readouterr().err


def test_a_load_of_a_nonsensical_size_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    for rate in ("0", "nan", "inf"):
        assert run(rate=rate) == 2
        assert "--verdicts-per-second" in capsys.readouterr().err
