"""How well the intent head tells what sentences want, and what its columns add for spam.

    python -m tests.performance.quality_intent

No public set labels these intents, so the test is tests/data/intent_sentences.yaml: 240 sentences
written with other words than the head's examples, by the same hand, one intent each, so that
figures on strangers' messages will be lower. Sentences of an intent in other languages than
English mostly say the same: intervals take them for one observation. Italian, Portuguese, Dutch,
Russian and Japanese have no examples: there the head is zero-shot.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from data_contracts.config import Settings, load_settings
from evaluation.metrics import (
    Estimate,
    Floats,
    Integers,
    average_precision,
    paired_bootstrap,
)
from pipelines.assets import asset_file
from pipelines.features.text.encoder import OnnxEncoder, TextEncoder
from pipelines.features.text.intent import ENCODER, Example, examples, intents, shipped_head
from pipelines.features.text.lexical import NAMES
from pipelines.features.text.meaning import INTENT_NAMES
from pipelines.features.text.normalisation import readable
from tests.performance.meaning_tables import SEED, SETS, Table, table_of
from tests.performance.quality_parts import Part, Say
from training.specialists.tabular import TabularFamily

SENTENCES = Path(__file__).parents[1] / "data" / "intent_sentences.yaml"
HEAD, NEAREST, KEYWORDS = "intent head", "nearest example", "keywords"
RESAMPLES, SEEDS, GOAL = 1000, (7, 8, 9), 0.70
_WORD = re.compile(r"[^\W\d_]{2,}")


def measure(settings: Settings, say: Say) -> Part:
    """MissingPart where the encoder or one of the sets is absent."""
    encoder = OnnxEncoder(asset_file(ENCODER, settings.data, settings.cache))
    say("intent: 240 sentences")
    rows = [*_recognition(encoder), _calibration(encoder)]
    for name in SETS:
        say(f"intent: what it adds on {name}")
        rows.append(_usefulness(table_of(name, settings, say)))
    return Part("intent", "What a message wants", rows, list(_goals(rows)))


def sentences() -> list[Example]:
    """The test sentences."""
    listed = yaml.safe_load(SENTENCES.read_text(encoding="utf-8"))
    return [
        Example(intent, language, text)
        for intent, languages in listed.items()
        for language, texts in languages.items()
        for text in texts
    ]


def _recognition(encoder: TextEncoder) -> Iterator[dict[str, Any]]:
    tested, names = sentences(), tuple(intents())
    truth = np.array([names.index(one.intent) for one in tested])
    seen = {example.language for example in examples()}
    zero_shot = np.array([one.language not in seen for one in tested])
    english = np.array([one.language == "en" for one in tested])
    groups = np.where(english, np.arange(len(tested)) + len(names), truth)
    parts = {
        "all": np.ones(len(tested), bool), "English": english,
        "de, es, fr, tr, zh": ~english & ~zero_shot, "zero-shot: it, ja, nl, pt, ru": zero_shot,
    }  # fmt: skip
    for system, answers in _answers(tested, names, encoder).items():
        for part, chosen in parts.items():
            yield _recognised(system, part, truth[chosen], answers[chosen], groups[chosen])


def _answers(
    tested: Sequence[Example], names: Sequence[str], encoder: TextEncoder
) -> Mapping[str, Integers]:
    vectors = np.array([encoder.encode(readable(one.text)) for one in tested])
    known = np.array([encoder.encode(readable(example.text)) for example in examples()])
    intent_of = np.array([names.index(example.intent) for example in examples()])
    head = shipped_head()
    return {
        HEAD: np.array([int(head.read(vector).argmax()) for vector in vectors]),
        NEAREST: intent_of[(vectors @ known.T).argmax(axis=1)],
        KEYWORDS: np.array([_by_keywords(one.text, names) for one in tested]),
    }


def _calibration(encoder: TextEncoder) -> dict[str, Any]:
    """How sure the head is of its first answer, beside how often that is right."""
    tested, head = sentences(), shipped_head()
    given = np.array([head.read(encoder.encode(readable(one.text))) for one in tested])
    truth = np.array([head.names.index(one.intent) for one in tested])
    of_truth = given[np.arange(len(truth)), truth]
    return {
        "kind": "calibration",
        "set": "intent_sentences: all",
        "system": HEAD,
        "test_rows": len(truth),
        "mean_probability_of_first": float(given.max(axis=1).mean()),
        "share_right": float((given.argmax(axis=1) == truth).mean()),
        "log_loss": float(-np.log(of_truth).mean()),
    }


def _by_keywords(text: str, names: Sequence[str]) -> int:
    """The intent whose examples share the rarest words with the text; chat where none does."""
    weights = _keywords()
    scores = [sum(weights.get((word, name), 0.0) for word in _words(text)) for name in names]
    return int(np.argmax(scores)) if max(scores) > 0 else list(names).index("chat")


def _keywords() -> Mapping[tuple[str, str], float]:
    """Each word of the examples with its share that stands in an intent."""
    counts: dict[tuple[str, str], float] = {}
    totals: dict[str, float] = {}
    for example in examples():
        for word in _words(example.text):
            counts[word, example.intent] = counts.get((word, example.intent), 0) + 1
            totals[word] = totals.get(word, 0) + 1
    return {(word, intent): count / totals[word] for (word, intent), count in counts.items()}


def _words(text: str) -> set[str]:
    """Words in lower case; Chinese and Japanese as pairs of characters."""
    words = set(_WORD.findall(text.lower()))
    pairs = {text[at : at + 2] for at in range(len(text) - 1) if ord(text[at]) > 0x3000}
    return words | pairs


def _recognised(
    system: str, part: str, truth: Integers, answers: Integers, groups: Integers
) -> dict[str, Any]:
    def estimated(figure: Callable[[Floats], float]) -> dict[str, float]:
        rng = np.random.default_rng(SEED)
        return _plain(paired_bootstrap(figure, groups, rng, resamples=RESAMPLES))

    return {
        "kind": "recognition",
        "set": f"intent_sentences: {part}",
        "system": system,
        "test_rows": len(truth),
        "accuracy": estimated(lambda weights: float(weights @ (truth == answers) / weights.sum())),
        "macro_f1": estimated(lambda weights: _macro_f1(truth, answers, weights)),
    }


def _macro_f1(truth: Integers, answers: Integers, weights: Floats) -> float:
    """The mean over the intents that are among the truth."""
    present = np.unique(truth[weights > 0])
    return float(np.mean([_f1(truth == one, answers == one, weights) for one in present]))


def _f1(truth: Any, answers: Any, weights: Floats) -> float:
    right = float(weights @ (truth & answers))
    return 2 * right / float(weights @ truth + weights @ answers) if right else 0.0


def _usefulness(table: Table) -> dict[str, Any]:
    """Average precision of lexical counts with the intent columns, less that without."""
    test = ~table.trained
    labels, groups = table.labels[test], table.groups[test]
    joined = np.column_stack([table.lexical, table.families("intent")])
    without = _scores(table, table.lexical, NAMES)
    scores = _scores(table, joined, (*NAMES, *INTENT_NAMES))
    gain = paired_bootstrap(
        lambda w: average_precision(labels, scores, w) - average_precision(labels, without, w),
        groups, np.random.default_rng(SEED), resamples=RESAMPLES,
    )  # fmt: skip
    return {
        "kind": "usefulness", "set": table.name, "system": "lexical counts + intent",
        "training_rows": int(table.trained.sum()), "test_rows": len(labels),
        "test_spam": int(labels.sum()), "average_precision": average_precision(labels, scores),
        "average_precision_without": average_precision(labels, without), "gain": _plain(gain),
    }  # fmt: skip


def _scores(table: Table, columns: Any, names: Sequence[str]) -> Floats:
    """The mean of LightGBM under three seeds, so that a lucky one decides nothing."""
    nothing = np.zeros(0, np.float32)
    rows = table.rows(columns, table.trained)
    models = [TabularFamily().fit(rows, names, {}, seed=seed) for seed in SEEDS]
    return np.array(
        [
            np.mean([model.score(row, nothing) for model in models])
            for row in columns[~table.trained]
        ]
    )


def _plain(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _goals(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for row in rows:
        if row["kind"] == "recognition" and row["system"] == HEAD:
            yield {
                "id": f"intent.{row['set']}", "statement": f"macro-F1 on {row['set']}",
                "target": f">= {GOAL}", "measured": row["macro_f1"],
                "met": row["macro_f1"]["value"] >= GOAL, "settled": row["macro_f1"]["low"] >= GOAL,
            }  # fmt: skip
        if row["kind"] == "usefulness":
            yield {
                "id": f"intent.{row['set']}.gain",
                "statement": f"average precision on {row['set']} gained by the intent columns",
                "target": "difference > 0", "measured": row["gain"],
                "met": row["gain"]["value"] > 0, "settled": row["gain"]["low"] > 0,
            }  # fmt: skip


def main() -> int:
    part = measure(load_settings(), lambda message: print(message, file=sys.stderr, flush=True))
    for row in part.rows:
        print({key: _rounded(value) for key, value in row.items()})
    for goal in part.goals:
        print("met    " if goal["met"] else "NOT MET", goal["statement"])
    return 0


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return [round(part, 3) for part in value.values()]
    return round(value, 4) if isinstance(value, float) else value


if __name__ == "__main__":
    sys.exit(main())
