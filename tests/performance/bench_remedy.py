"""Does a remedy repair what a bad release did, and nothing else? On real messages, by its command.

    make bench-remedy         (or: python -m tests.performance.bench_remedy)

SMS, Turkish SMS and YouTube comments; near-duplicates in one group, half of the groups to learn
from, the others are the traffic of three days. A champion is trained; two releases are bad: one has
the champion's model with thresholds at 5 % false positives, the other learnt from rows whose
Turkish ham was labelled spam. The bad release decides the traffic and writes decision records; the
champion decides the same traffic for comparison. Then `python -m serving remedy --execute` runs as
a process of its own, against an emulator of the platform; once more in another home it is killed
with SIGKILL when half of the reversals were told, and begun again: the ledgers have to be the same.

*Wrongful*: ham on which the release acted and the champion, deciding live, would not. *Right*: spam
on which the release acted. Intervals are Clopper-Pearson at 95 %; near-duplicates count each.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from sqlalchemy import select

from data_contracts.config import PROJECT, Settings, load_settings
from data_contracts.events import Event
from data_contracts.files import write_atomically
from data_contracts.labels import LabelledEvent
from data_contracts.secrets import APPEALS_KEY, create_local_secrets, local_secrets
from data_contracts.verdicts import Verdict
from evaluation.metrics import Booleans, clopper_pearson
from pipelines.accounts import hash_account
from pipelines.catalogue import read_labelled
from pipelines.configured_encoder import encoder_file
from pipelines.features.text.encoder import TextEncoder
from pipelines.near_duplicates import group_related
from pipelines.splits import grouped_folds
from pipelines.state import open_state, reading
from serving.cascade import Cascade
from serving.decision_records import UnwrittenRecord
from serving.incidents.remedy_ledger import ACTIONS
from tests.performance.gate_models import opened_encoder
from tests.performance.platform_emulator import PlatformEmulator, platform_emulator
from tests.performance.provenance import commit
from training.ensemble import Ensemble
from training.thresholds import fit_thresholds
from training.train import Plan, train
from training.tuning import NoTrialLog

SETS = ("text_sms_spam_uci", "text_sms_turkish", "text_youtube_spam")
SEED, HALVES, FOLDS = 20_260_105, 2, 3
CHAMPION_RATE, LOOSE_RATE = 0.005, 0.05
FLIPPED_SET = "text_sms_turkish"
FIRST_DAY, DAYS = datetime(2026, 1, 5, tzinfo=UTC), 3
CHUNK = 256
SHARE_REVERSED = 0.99
CHAMPION, BAD = "1", "2"
PROCESS_SECONDS = 900.0
LOOSE, FLIPPED = "thresholds at 5 % false positives", "Turkish ham learnt as spam"


@dataclass(frozen=True)
class Release:
    """A bad one: where its artefact is, and what it did to the traffic."""

    name: str
    verdicts: Sequence[Verdict]


@dataclass(frozen=True)
class Ended:
    """What a remedy left: the ledger's rows, what the platform undid, and what it was told."""

    ledger: Sequence[tuple[Any, ...]]
    undone: frozenset[str]
    deliveries: int
    report: Mapping[str, Any]
    seconds: float


def main() -> int:
    settings = load_settings()
    learnt, traffic = _divided(settings)
    _say(f"{len(learnt)} rows to learn from, {len(traffic)} as traffic of {DAYS} days")
    with tempfile.TemporaryDirectory(prefix="weir-remedy-") as name:
        folder = Path(name)
        with opened_encoder(settings) as encoder:
            champion = _trained(learnt, settings, encoder, folder / "champion")
            _say("the champion is trained")
            live = _decisions(champion, CHAMPION, traffic)
            loose = _with_loose_thresholds(champion, encoder)
            flipped = _trained(_with_flipped_ham(learnt), settings, encoder, folder / "flipped")
            releases = [
                Release(LOOSE, _decisions(loose, BAD, traffic)),
                Release(FLIPPED, _decisions(flipped, BAD, traffic)),
            ]
        rows = [_row(one, live, traffic, folder, number) for number, one in enumerate(releases)]
    report = {
        "name": "remedy",
        "commit": commit(),
        "datasets": list(SETS),
        "split": f"half of the near-duplicate groups, seed {SEED}",
        "learnt": len(learnt),
        "traffic": {"events": len(traffic), "spam": sum(row.is_spam for row in traffic)},
        "rows": rows,
        "goals": [goal for row in rows for goal in _goals(row)],
    }
    path = settings.reports / "bench-remedy.json"
    write_atomically(path, orjson.dumps(report, option=orjson.OPT_INDENT_2))
    print(_table(rows))
    print(path)
    return 0


def _divided(settings: Settings) -> tuple[list[LabelledEvent], list[LabelledEvent]]:
    rows = [row for name in SETS for row in read_labelled(name, settings.data, settings.cache)]
    groups = group_related(rows)
    strata = [(row.dataset, row.label) for row in rows]
    halves = grouped_folds(groups, strata, HALVES, np.random.default_rng(SEED))
    learnt = [row for row, half in zip(rows, halves, strict=True) if half == 0]
    rest = [
        (row, int(group))
        for row, group, half in zip(rows, groups, halves, strict=True)
        if half == 1
    ]
    order = np.random.default_rng(SEED).permutation(len(rest))
    step = timedelta(days=DAYS) / len(rest)
    traffic = []
    for place, at in enumerate(order.tolist()):
        row, group = rest[at]
        account = hash_account(f"account-{group}", "bench")
        changes = {"occurred_at": FIRST_DAY + place * step, "account": account}
        traffic.append(replace(row, event=row.event.model_copy(update=changes)))
    return learnt, traffic


def _trained(
    rows: Sequence[LabelledEvent], settings: Settings, encoder: TextEncoder, directory: Path
) -> Ensemble:
    file = encoder_file(settings.data, settings.cache)
    plan = Plan(0, FOLDS, SEED, CHAMPION_RATE, directory.parent / "studies")
    ensemble = train(rows, encoder, file, plan, NoTrialLog(), lambda _message: None)
    ensemble.save(directory)
    return Ensemble.load(directory, encoder)


def _with_loose_thresholds(champion: Ensemble, encoder: TextEncoder) -> Ensemble:
    """The same model; thresholds fitted anew on its scores out of fold, at another rate."""
    stored = np.load(BytesIO(champion.parts.out_of_fold))
    fitted = fit_thresholds(stored["scores"], stored["targets"], stored["segments"], LOOSE_RATE)
    policy = replace(champion.parts.policy, thresholds=fitted)
    return Ensemble(replace(champion.parts, policy=policy), encoder)


def _with_flipped_ham(rows: Sequence[LabelledEvent]) -> list[LabelledEvent]:
    return [replace(row, label="spam") if row.dataset == FLIPPED_SET else row for row in rows]


def _decisions(ensemble: Ensemble, version: str, traffic: Sequence[LabelledEvent]) -> list[Verdict]:
    """As a server decides: in small batches, here without a deadline."""
    cascade = Cascade(ensemble, version, ensemble.threshold_version)
    events = [row.event for row in traffic]
    return [
        verdict
        for start in range(0, len(events), CHUNK)
        for verdict in cascade.decide(events[start : start + CHUNK]).verdicts
    ]


def _row(
    release: Release,
    live: Sequence[Verdict],
    traffic: Sequence[LabelledEvent],
    folder: Path,
    number: int,
) -> dict[str, Any]:
    """Remedied once without and once with a kill; measured against the labels."""
    whole = _remedied(release, traffic, folder, f"home-{number}-whole", kill=False)
    killed = _remedied(release, traffic, folder, f"home-{number}-killed", kill=True)
    ids = [row.event.event_id for row in traffic]
    spam = np.array([row.is_spam for row in traffic])
    acted = np.array([one.action != "allow" for one in release.verdicts])
    allows = np.array([one.action == "allow" for one in live])
    reversed_ = np.array([one in whole.undone for one in ids])
    return {
        "release": release.name,
        "acted_on": int(acted.sum()),
        "false_positive_rate": _share(acted & ~spam, ~spam),
        "champion_false_positive_rate": _share(~allows & ~spam, ~spam),
        "champion_miss_rate": _share(allows & spam, spam),
        "wrongful_reversed": _share(reversed_, acted & ~spam & allows),
        "ham_acted_on_reversed": _share(reversed_, acted & ~spam),
        "right_reversed": _share(reversed_, acted & spam),
        "reversed_that_was_not_acted_on": int((reversed_ & ~acted).sum()),
        "seconds": whole.seconds,
        "report": {name: whole.report[name] for name in ("enforced", "judged", "wrongful")},
        "killed": {
            "same_ledger": whole.ledger == killed.ledger,
            "same_undone": whole.undone == killed.undone,
            "undone": len(killed.undone),
            "deliveries": killed.deliveries,
            "deliveries_without_a_kill": whole.deliveries,
        },
    }


def _remedied(
    release: Release, traffic: Sequence[LabelledEvent], folder: Path, name: str, *, kill: bool
) -> Ended:
    home = folder / name
    create_local_secrets(home)
    _write_records(home / "decisions", release.verdicts, traffic)
    key = local_secrets(home)[APPEALS_KEY]
    with platform_emulator(key) as platform:
        began = time.monotonic()
        if kill:
            _killed_midway(home, folder / "champion", platform, release)
        result = home / "result.json"
        _finish(_started(home, folder / "champion", platform, result))
        seconds = round(time.monotonic() - began, 1)
        undone = frozenset(one["event_id"] for one in platform.undone.values())
        if platform.refused or len(undone) != len(platform.undone):
            raise RuntimeError(f"{platform.refused} refused, {len(platform.undone)} ids: a fault")
        report = orjson.loads(result.read_bytes())
        return Ended(_ledger(home), undone, platform.deliveries, report, seconds)


def _killed_midway(home: Path, model: Path, platform: PlatformEmulator, release: Release) -> None:
    """SIGKILL after a dry run's worth of knowledge: when half of the reversals were told."""
    dry = home / "dry.json"
    _finish(_started(home, model, platform, dry, execute=False))
    half = orjson.loads(dry.read_bytes())["wrongful"]["count"] // 2
    process = _started(home, model, platform, home / "never.json")
    try:
        if not platform.wait_for(max(half, 1), PROCESS_SECONDS):
            raise RuntimeError(f"{release.name}: the platform was told too little in time")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    if (home / "never.json").is_file():
        raise RuntimeError("it ended before it was killed; nothing was shown")


def _started(
    home: Path, model: Path, platform: PlatformEmulator, result: Path, *, execute: bool = True
) -> subprocess.Popen[bytes]:
    command = [
        sys.executable, "-m", "serving", "remedy", "--version", BAD, "--model", str(model),
        "--from", FIRST_DAY.isoformat(), "--to", (FIRST_DAY + timedelta(days=DAYS)).isoformat(),
        "--result", str(result), *(["--execute"] if execute else []),
    ]  # fmt: skip
    settings = {"WEIR_HOME": str(home), "WEIR__APPEALS__WEBHOOK_URL": platform.url}
    return subprocess.Popen(command, cwd=PROJECT, env={**os.environ, **settings})


def _finish(process: subprocess.Popen[bytes]) -> None:
    code = process.wait(PROCESS_SECONDS)
    if code != 0:
        raise RuntimeError(f"the remedy ended with {code}; its own words are above")


def _write_records(
    folder: Path, verdicts: Sequence[Verdict], traffic: Sequence[LabelledEvent]
) -> None:
    folder.mkdir(parents=True)
    lines = [
        UnwrittenRecord(verdict, row.event, _decided_at(row.event), False, 1.0, "bad").line()
        for verdict, row in zip(verdicts, traffic, strict=True)
    ]
    (folder / "blue-1.jsonl").write_bytes(b"".join(lines))


def _decided_at(event: Event) -> datetime:
    if event.occurred_at is None:
        raise ValueError("traffic has times")
    return event.occurred_at


def _ledger(home: Path) -> list[tuple[Any, ...]]:
    """Every row of the remedy's ledger; it holds no time of its own."""
    engine = open_state(f"sqlite:///{home}/state/weir.sqlite")
    try:
        with reading(engine) as connection:
            rows = connection.execute(select(ACTIONS).order_by(ACTIONS.c.event_id)).all()
            return [tuple(map(str, row)) for row in rows]
    finally:
        engine.dispose()


def _share(hits: Booleans, among: Booleans) -> dict[str, Any]:
    count, of = int((hits & among).sum()), int(among.sum())
    if not of:
        return {"count": 0, "of": 0, "share": None, "low": None, "high": None}
    estimate = clopper_pearson(count, of)
    return {
        "count": count, "of": of, "share": estimate.value, "low": estimate.low,
        "high": estimate.high,
    }  # fmt: skip


def _goals(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Nothing to measure is not met."""
    name, wrongful, right = row["release"], row["wrongful_reversed"], row["right_reversed"]
    missed, killed = row["champion_miss_rate"]["share"], row["killed"]
    reversed_share, right_share = wrongful["share"], right["share"]
    return [
        {"id": f"wrongful reversed: {name}",
         "statement": "share of wrongful actions (ham acted on, and not by the champion) reversed",
         "target": f">= {SHARE_REVERSED}", "measured": reversed_share,
         "met": reversed_share is not None and reversed_share >= SHARE_REVERSED},
        {"id": f"right ones stay: {name}",
         "statement": "share of right actions (spam) reversed, at most the champion's miss rate",
         "target": f"<= {missed}", "measured": right_share,
         "met": right_share is not None and right_share <= missed},
        {"id": f"killed in the middle: {name}",
         "statement": "the same ledger and the same reversals as without the kill",
         "target": True, "measured": killed["same_ledger"] and killed["same_undone"],
         "met": killed["same_ledger"] and killed["same_undone"]},
    ]  # fmt: skip


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    shown = (
        "false_positive_rate", "champion_false_positive_rate", "champion_miss_rate",
        "wrongful_reversed", "ham_acted_on_reversed", "right_reversed",
    )  # fmt: skip
    lines = []
    for row in rows:
        lines.append(f"{row['release']}: acted on {row['acted_on']}, {row['seconds']} s")
        for name in shown:
            one = row[name]
            interval = f"[{one['low']:.4f}, {one['high']:.4f}]" if one["of"] else "no evidence"
            lines.append(f"  {name:30} {one['count']:5} of {one['of']:5}  {interval}")
        lines.append(f"  killed and begun again: {row['killed']}")
    return "\n".join(lines)


def _say(message: str) -> None:
    print(f"bench-remedy: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
