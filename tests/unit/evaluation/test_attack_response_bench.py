"""The parts of bench-attack-response that need no stack."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import orjson

from pipelines.labelling.oracle import read_truth, truth_file
from tests.performance.attack_response_client import Seen, seen
from tests.performance.attack_response_picture import draw
from tests.performance.attack_response_posts import (
    Texts,
    each_once,
    spread,
    stream,
    write_plan,
    write_truth,
)
from tests.performance.attack_response_quiet import alarmed
from tests.performance.bench_attack_response import as_text, goals, minutes_of
from tests.unit.evaluation.test_campaigns import NOW, posts

TEXTS = Texts(
    {
        "ham": [("see you at eight", "en"), ("geliyorum", "tr")],
        "spam": [("win a prize", "en")],
        "campaign": [("卖片私聊我", "zh"), ("需要的加我", "zh")],
        "held_out": [("想要买盘的私聊我", "zh")],
        "fresh_ham": [("thanks", "en")],
    }
)
SHARES = {"ham": 0.5, "spam": 0.1, "campaign": 0.4}


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def test_a_campaign_begins_when_it_begins_and_each_post_has_its_own_id_and_account() -> None:
    planned = stream(TEXTS, 100, 10, SHARES, 50, "live", rng())
    assert len({one.event["event_id"] for one in planned}) == len(planned) == 1000
    campaign = [one for one in planned if one.kind == "campaign"]
    assert min(one.at for one in campaign) >= 50
    assert 150 < len(campaign) < 250
    assert len({one.event["account"] for one in campaign}) == len(campaign)
    assert len({one.event["text"] for one in campaign}) > len(TEXTS["campaign"])  # disguised
    assert stream(TEXTS, 100, 10, SHARES, 50, "live", rng()) == planned


def test_what_is_held_out_is_sent_once_and_the_truth_knows_all(tmp_path: Path) -> None:
    planned = [*each_once(TEXTS, "held_out", "after", rng()),
               *each_once(TEXTS, "fresh_ham", "after", rng())]  # fmt: skip
    write_truth(planned, "2026-01-05", tmp_path)
    truth = read_truth(truth_file(tmp_path, "2026-01-05"))
    assert truth == {"after-held_out-0": "spam", "after-fresh_ham-0": "ham"}
    lines = write_plan(spread(planned, 2.0, rng()), tmp_path / "plan").read_bytes().splitlines()
    assert [orjson.loads(line)["at"] for line in lines] == [0.0, 0.5]


def test_a_quiet_series_of_windows_raises_nothing_and_a_campaign_in_it_does() -> None:
    many = [post for topic in range(30) for post in posts(f"topic{topic}", 10, NOW)]
    vectors = np.eye(30, dtype=np.float32)[[topic for topic in range(30) for _ in range(10)]]
    order = rng().permutation(len(many))
    shuffled, near = [many[row] for row in order], vectors[order]
    assert alarmed(shuffled, near, 50) == {"windows": 1, "alarmed": 0}
    assert alarmed(many, vectors, 50)["alarmed"] == 1


def test_answers_are_counted_by_minute_and_nothing_measured_is_no_goal_met(
    tmp_path: Path,
) -> None:
    file = tmp_path / "answers.jsonl"
    lines = [[60.0, "campaign", 0, "live-1", "allow", "1", "stable"],
             [61.0, "campaign", 0, "live-2", "block", "2", "stable"],
             [-1.0, "ham", 0, "live-0", "", "", ""]]  # fmt: skip
    file.write_bytes(b"".join(orjson.dumps(one) + b"\n" for one in lines) + b'["torn')
    answers = seen(file)
    assert isinstance(answers[0], Seen)
    assert Counter(one.acted for one in answers) == {False: 2, True: 1}
    minutes = minutes_of(answers, 0.0)
    assert [(one["minute"], one["campaign"]["share"], one["ham"]["of"]) for one in minutes] == [
        (-1, None, 0), (1, 0.5, 0),
    ]  # fmt: skip
    nothing = {"share": None, "count": 0, "of": 0, "low": None, "high": None}
    report = {
        "rows": [{"stage": "detected", "minutes": None}, {"stage": "done", "minutes": None}],
        "quiet": [{"dataset": "s", "labels": "ham", "posts_a_window": 50, "windows": 10,
                   "alarmed": 0}],
        "before": {"held_out": nothing}, "after": None,
    }  # fmt: skip
    met = {goal["id"]: goal["met"] for goal in goals(report)}
    assert met == {
        "attack-response.minutes": False, "attack-response.detected": False,
        "attack-response.recall": False, "attack-response.quiet": True,
    }  # fmt: skip
    assert "not reached" in as_text(report | {"goals": goals(report)})
    picture = draw(minutes, {"detected": 2.0}, 30, tmp_path / "picture.svg")
    assert picture.read_text().startswith("<?xml")
