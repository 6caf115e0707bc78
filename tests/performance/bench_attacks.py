"""How often a black-box attacker gets past, with 50 queries a message, at 1 % false positives.

    make bench-attacks        (or: python -m tests.performance.bench_attacks [--part NAME])

Three systems are trained on the same rows, at most 3000 each of SMS, Chinese Telegram and YouTube:
TF-IDF with logistic regression, the text specialist alone, and the ensemble before and after
hardening. A fifth of the near-duplicate groups is the test. Thresholds for 1 % false positives come
from out-of-fold scores of each set's training ham. The attacker (`evaluation.attacks.black_box`)
sees scores, may ask 50 times a message, and combines up to three attacks; success is the share that
evades of the spam that the system caught in the clear, at most 100 messages a set. Intervals are
95 %: Clopper-Pearson for shares, a bootstrap of whole groups for ratios on the same messages.

Left out: attacks of the family layout, which take the text away from what reads text alone, and
those of video and behaviour, which such messages do not carry.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from data_contracts.config import Settings, load_settings
from data_contracts.errors import ConfigurationError, MissingPart
from data_contracts.files import write_atomically
from pipelines.configured_encoder import encoder_file, encoder_version
from pipelines.features.text.embedding_cache import CachedEncoder
from pipelines.features.text.token_encoder import encoder_of
from tests.performance import attack_images, attack_texts
from tests.performance.attack_picture import draw
from tests.performance.attack_systems import Workshop
from tests.performance.attack_texts import (
    ALL_ATTACKS,
    BOTH,
    HARDENED,
    HELD_OUT,
    NEITHER,
    QUERIES,
    SEED,
    STRONGEST,
    TFIDF,
    Besieged,
    Ensembles,
    Messages,
    Row,
    Say,
    against,
    plain,
)
from tests.performance.provenance import commit

FOLDS = 5
MOST_OF_BASELINE, MOST_OF_BASELINE_HELD_OUT = 1 / 3, 1 / 2
LEAST_OF_ORIGINALS = 0.9
TEXT, ABLATIONS, IMAGES = "text", "ablations", "images"
PARTS = (TEXT, ABLATIONS, IMAGES)


@dataclass
class Found:
    """What the parts measured: systems under attack, real rewrites, and undisguised rows."""

    besieged: list[Besieged] = field(default_factory=list)
    rewrites: list[Row] = field(default_factory=list)
    clean: list[Row] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", action="append", choices=PARTS, help="default: all")
    wanted = parser.parse_args().part or PARTS
    settings = load_settings()
    warnings.simplefilter("ignore")
    if used := set(HELD_OUT) & settings.training.hardening.attacks.keys():
        raise ConfigurationError(f"training.hardening.attacks has {used}, which are held out")
    began, found = time.monotonic(), Found()
    with threadpool_limits(1):
        for part in wanted:
            try:
                _measure(part, settings, found, began)
            except MissingPart as missing:
                _say(began, f"{part} left out: {missing}")
    _write(settings, found, began)
    return 0


def _measure(part: str, settings: Settings, found: Found, began: float) -> None:
    def say(message: str) -> None:
        _say(began, f"{part}: {message}")

    if part == IMAGES:
        found.besieged += attack_images.compared(settings, say)
        return
    say("reading and grouping")
    messages = Messages.read(settings.data, settings.cache)
    with _workshop(settings) as workshop:
        if part == ABLATIONS:
            hardening = settings.training.hardening
            found.besieged += attack_texts.ablations(messages, workshop, hardening, say)
        else:
            _texts(messages, workshop, settings, found, say)


def _texts(
    messages: Messages, workshop: Workshop, settings: Settings, found: Found, say: Say
) -> None:
    trained = Ensembles.trained(messages, workshop, settings.training.hardening, say)
    found.clean += trained.clean()
    asked: set[str] = set()
    for system, besieged in attack_texts.compared(messages, workshop, trained, say):
        found.besieged.append(besieged)
        if system.name not in asked:
            asked.add(system.name)
            found.rewrites.append(attack_texts.rewrites(system, settings.data, settings.cache))


@contextmanager
def _workshop(settings: Settings) -> Iterator[Workshop]:
    file = encoder_file(settings.data, settings.cache)
    version = encoder_version(settings.data, settings.cache)
    studies = settings.cache / "bench-attacks" / "studies"
    with CachedEncoder(encoder_of(file), settings.cache / "embeddings", version) as encoder:
        yield Workshop(encoder, encoder_of(file), file, studies, SEED, FOLDS)


def _say(began: float, message: str) -> None:
    print(f"{time.monotonic() - began:7.1f} s  {message}", file=sys.stderr, flush=True)


def _goals(found: Sequence[Besieged], rewrites: Sequence[Row]) -> Iterator[Row]:
    """Of each set: all attacks together, then each attack that hardening never used."""
    for dataset in dict.fromkeys(one.dataset for one in found):
        for attack in (ALL_ATTACKS, *HELD_OUT):
            ours = HARDENED if dataset in attack_texts.ATTACKED else attack_images.STAGES_MEAN
            pair = [_of(found, name, dataset, attack) for name in (ours, TFIDF)]
            if pair[0] is not None and pair[1] is not None:
                yield _ratio_goal(pair[0], pair[1])
    for row in rewrites:
        if row["system"] == HARDENED:
            yield {
                "id": "real_rewrites",
                "statement": f"share caught of the rewrites in {row['set']} over that of their "
                f"originals, by the {HARDENED}",
                "target": f">= {LEAST_OF_ORIGINALS}",
                "measured": row["ratio"],
                "met": row["ratio"]["value"] >= LEAST_OF_ORIGINALS,
            }


def _of(found: Sequence[Besieged], system: str, dataset: str, attack: str) -> Besieged | None:
    wanted = (system, dataset, attack)
    return next((one for one in found if (one.system, one.dataset, one.attack) == wanted), None)


def _ratio_goal(ours: Besieged, baseline: Besieged) -> Row:
    """Not met where the baseline was never evaded: there is then nothing to be better than."""
    held_out = ours.attack in HELD_OUT
    most = MOST_OF_BASELINE_HELD_OUT if held_out else MOST_OF_BASELINE
    measured = plain(against(ours, baseline))
    return {
        "id": f"{ours.dataset}.{ours.attack}".replace(" ", "_"),
        "statement": f"attack success on {ours.dataset} by {ours.attack}"
        f"{' (never used in hardening)' if held_out else ''}: {ours.system} over {TFIDF}",
        "target": f"<= {most:.3f}",
        "measured": measured,
        "met": measured is not None and measured["value"] <= most,
    }


def _write(settings: Settings, found: Found, began: float) -> None:
    rows = [one.row() for one in found.besieged]
    goals = list(_goals(found.besieged, found.rewrites))
    report = {
        "name": "attacks",
        "commit": commit(),
        "seconds": round(time.monotonic() - began, 1),
        "queries": QUERIES,
        "strongest": STRONGEST,
        "held_out": HELD_OUT,
        "hardening": settings.training.hardening.model_dump(mode="json"),
        "rows": rows,
        "rewrites": found.rewrites,
        "clean": found.clean,
        "goals": goals,
    }
    folder = settings.home / "reports"
    path = folder / "bench-attacks.json"
    write_atomically(path, orjson.dumps(report, option=orjson.OPT_INDENT_2))
    print(_table(rows, found, goals))
    drawn = [{**row, "panel": _panel(row)} for row in rows if row["attack"] == ALL_ATTACKS]
    if drawn:
        print(draw(drawn, folder / "bench-attacks.svg"))
    print(path)


def _panel(row: Mapping[str, Any]) -> str:
    """Ablations stand apart from the systems on the same set."""
    ablated = row["system"] in (NEITHER, attack_texts.NORMALISED, attack_texts.TRAINED, BOTH)
    return f"{row['set']}: what normalisation and training do" if ablated else row["set"]


def _table(rows: Sequence[Row], found: Found, goals: Sequence[Row]) -> str:
    head = ("set", "system", "attack", "caught", "recall", "ham", " evades")
    lines = ["{:24} {:28} {:12} {:>6} {:>7} {:>6} {}".format(*head)]
    lines += [
        f"{row['set']:24} {row['system']:28} {row['attack']:12} {row['curves']['caught']:6d} "
        f"{row['recall']['value']:7.3f} {row['false_positive_rate']['value']:6.3f}  "
        f"{_shown(row['attack_success'])}"
        for row in rows
    ]
    lines += [
        f"{row['set']:24} {row['system']:28} originals {_shown(row['originals_caught'])}, "
        f"rewrites {_shown(row['rewrites_caught'])}, ratio {_shown(row['ratio'])}"
        for row in found.rewrites
    ]
    lines += [
        f"{row['set']:24} undisguised, {HARDENED} less before: average precision "
        f"{_shown(row['average_precision.difference'])}, recall at 0.1 % "
        f"{_shown(row['recall_at_0.1%.difference'])}"
        for row in found.clean
    ]
    lines += [
        f"{'met' if goal['met'] else 'NOT MET'}: {goal['statement']}: "
        f"{_shown(goal['measured'])}, goal {goal['target']}"
        for goal in goals
    ]
    return "\n".join(lines)


def _shown(estimate: Mapping[str, float] | None) -> str:
    if estimate is None:
        return "-"
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


if __name__ == "__main__":
    sys.exit(main())
