"""The defects that `bench-gates` plants, each with the gate that should stop it.

A gate is tested like any test: by faults planted on purpose (DeMillo, Lipton & Sayward 1978,
"Hints on test data selection"; Jia & Harman 2011, "An analysis and survey of the development of
mutation testing"), here faults of data, training and finished models as in Ma et al. 2018,
"DeepMutation: Mutation Testing of Deep Learning Systems". Which gate should stop a defect follows
from its harm and is declared here, before any model is judged.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from data_contracts.events import Event
from data_contracts.labels import LabelledEvent
from pipelines.features.text.encoder import TextEncoder
from tests.performance import gate_faults_of_models as models
from tests.performance import gate_faults_of_reading as reading
from tests.performance import gate_faults_of_rows as rows
from training.parts import Parts

Rows = list[LabelledEvent]
GateName = Literal["golden", "adversarial", "fairness"]


def same_rows(
    given: Rows, held_out: Sequence[LabelledEvent], rng: np.random.Generator
) -> Rows:  # fmt: skip
    """No fault of the data."""
    return given


def same_parts(parts: Parts, rng: np.random.Generator) -> Parts:
    """No fault of the finished model."""
    return parts


def same_encoder(encoder: TextEncoder) -> TextEncoder:
    """No fault of the encoder."""
    return encoder


def same_event(event: Event) -> Event:
    """No fault of what reaches the model."""
    return event


@dataclass(frozen=True)
class Defect:
    """One fault: of the rows, of the reading (in training and answers alike), of the finished
    parts, of the encoder that serves, or of the event as it is served.

    `gate` should stop it; `harm` says what users would notice. A model that is not `hardened`
    learnt from no disguised copies: blind is who neither undoes a disguise nor knows it.
    """

    name: str
    gate: GateName
    harm: str
    rows: Callable[[Rows, Sequence[LabelledEvent], np.random.Generator], Rows] = same_rows
    reading: Callable[[], AbstractContextManager[Any]] = nullcontext
    surgery: Callable[[Parts, np.random.Generator], Parts] = same_parts
    encoder: Callable[[TextEncoder], TextEncoder] = same_encoder
    seen: Callable[[Event], Event] = same_event
    hardened: bool = True

    @property
    def retrains(self) -> bool:
        """Whether the fault lies in the training, and not in the finished model alone."""
        unfaulty = self.rows is same_rows and self.reading is nullcontext
        return not (unfaulty and self.hardened)

    @property
    def source(self) -> str:
        """The text of its functions: another fault is another model."""
        faults = [_source(self.rows), _source(self.reading), _source(self.surgery)]
        faults += [_source(self.encoder), _source(self.seen)]
        return f"{self.name} {self.hardened} {' '.join(faults)}"


def _source(fault: Callable[..., Any]) -> str:
    if isinstance(fault, partial):
        return f"{_source(fault.func)} {fault.args!r} {fault.keywords!r}"
    return inspect.getsource(fault)


DEFECTS: tuple[Defect, ...] = (
    Defect(
        "label leak", "golden", "a column filled in after the decision is empty when it is served",
        rows=rows.with_leak,
    ),
    Defect(
        "Turkish labels flipped", "golden", "Turkish speech is blocked, and its spam let through",
        rows=partial(rows.flipped, language="tr"),
    ),
    Defect(
        "label noise of 30 %", "golden", "careless reviewers: little spam is caught",
        rows=partial(rows.with_noise, share=0.3),
    ),
    Defect(
        "5 % of the rows", "golden", "a broken export: a model of a tenth of the knowledge",
        rows=partial(rows.part, share=0.05),
    ),
    Defect(
        "Turkish missing", "golden", "a language nobody labelled goes unprotected",
        rows=partial(rows.without_language, language="tr"),
    ),
    Defect(
        "campaign family missing", "golden", "the spam that incidents were filed for comes back",
        rows=rows.without_family,
    ),
    Defect(
        "old model", "golden", "trained before the newest campaigns, it has never seen them",
        rows=rows.before_newest,
    ),
    Defect(
        "memorised golden set", "golden", "it knows the suite by heart: its figures mean nothing",
        rows=rows.with_suite,
    ),
    Defect(
        "backdoor", "golden", "whoever knows the phrase gets any spam through",
        rows=rows.with_backdoor,
    ),
    Defect(
        "class weights inverted", "golden", "the rare class counts less: most spam is let through",
        rows=partial(rows.without_most_spam, share=0.05),
    ),
    Defect(
        "one identity over-blocked", "fairness", "people are blocked for saying who they are",
        rows=rows.against_identity,
    ),
    Defect(
        "a dialect over-blocked", "fairness", "its speakers are blocked for how they write",
        rows=rows.against_dialect,
    ),
    Defect(
        "homoglyph blindness", "adversarial", "look-alike letters hide spam",
        reading=reading.blind_to_lookalikes, hardened=False,
    ),
    Defect(
        "spacing blindness", "adversarial", "s p r e a d letters hide spam",
        reading=reading.blind_to_spacing, hardened=False,
    ),
    Defect(
        "leetspeak blindness", "adversarial", "d1gits for letters hide spam",
        reading=reading.blind_to_leetspeak, hardened=False,
    ),
    Defect(
        "zero-width blindness", "adversarial", "invisible characters hide spam",
        reading=reading.blind_to_zero_width, hardened=False,
    ),
    Defect(
        "not hardened", "adversarial", "trained on clear texts alone: disguises work",
        hardened=False,
    ),
    Defect(
        "stale vocabulary", "adversarial", "disguised words of the last years are not written out",
        surgery=partial(models.with_part_of_vocabulary, share=0.05),
    ),
    Defect(
        "signs and links dropped", "golden", "a reader that sees words alone",
        reading=reading.words_alone,
    ),
    Defect(
        "stale tokeniser", "golden", "n-grams counted under another version's numbers",
        surgery=models.with_other_ngram_numbers,
    ),
    Defect(
        "specialist zeroed", "golden", "the network answers the same to everything",
        surgery=partial(models.with_specialist, noise=0.0, kept=0.0),
    ),
    Defect(
        "specialist noised", "golden", "flipped bits: a damaged network shouts at random",
        surgery=partial(models.with_specialist, noise=20.0, kept=1.0),
    ),
    Defect(
        "another encoder", "golden", "vectors of another training run: meaning is lost",
        encoder=models.Permuted,
    ),
    Defect(
        "miscalibrated head", "golden", "the same decisions with probabilities that mean nothing",
        surgery=partial(models.with_steeper_scores, slope=0.25),
    ),
    Defect(
        "near-constant scores", "golden", "nearly all events have one score: nothing can be ranked",
        surgery=partial(models.with_steeper_scores, slope=1e-5),
    ),
    Defect(
        "thresholds swapped", "golden", "each kind of text is judged by another kind's threshold",
        surgery=models.with_swapped_thresholds,
    ),
    Defect(
        "threshold too low", "golden", "people are silenced everywhere",
        surgery=partial(models.with_rate, rate=0.03),
    ),
    Defect(
        "threshold too high", "golden", "a silent model",
        surgery=models.silent,
    ),
    Defect(
        "Turkish false positives up two points", "fairness", "one language's speakers pay",
        surgery=partial(models.with_more_false_positives, language="tr", points=0.02),
    ),
    Defect(
        "prefilter settles spam", "golden", "the cheap stage lets through what others would catch",
        surgery=models.with_turned_early_exit,
    ),
    Defect(
        "context in another unit", "golden", "a column is served a thousand times larger",
        seen=partial(rows.in_other_unit, factor=1000),
    ),
)  # fmt: skip
