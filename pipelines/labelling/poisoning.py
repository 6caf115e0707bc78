"""Which batches of answers disagree beyond what chance allows: the doubt about poisoned labels.

A batch is held against three witnesses: gold questions, other reviewers (of the same event or a
near-duplicate of it, an adjudicator's word first), and a model that other reviewers taught. What
people know to be spam, and what they know to be ham, is also asked apart: whoever lets all spam
through is honest about the rest. The model is asked about the whole batch and, because whoever
wants one campaign through flips that campaign and little else, about each cluster of similar texts
in it. Where the others disagree with the model in a cluster too, the model is at fault, and the
cluster's expected rate rises.

All tests of a day are corrected together by Holm: a false accusation costs a person's trust, so
the chance of even one on an honest day stays below `significance`. (Benjamini-Hochberg would
bound a share of the accusations only, and the tests of one batch are not independent.) The worst
batch is put aside first and the others are judged again without its answers, so that nobody is
accused for having disagreed with the culprit.

What it cannot see: two reviewers who flip the same campaign bear witness for each other, so the
model is thought to be at fault; gold questions and double labels are what is left against them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

import numpy as np

from pipelines.labelling.beyond_chance import fitted_concentration, holm, tail
from pipelines.labelling.cluster_rates import Cells, both, counted
from pipelines.labelling.held_back_model import (
    HeldBackModel,
    expected_rates,
    held_back_scores,
    sureness_levels,
)
from pipelines.labelling.label_evidence import (
    Answered,
    Booleans,
    Finding,
    Judgement,
    Witness,
)

SIGNIFICANCE = 0.01
FEWEST_ANSWERS = 5  # a witness who was asked less often is not heard
SHOWN = 3
PRIOR_ANSWERS, PRIOR_ERRORS = 50.0, 1.0  # reviewers err in 2 % until these say otherwise


def judge(
    answered: Answered,
    model: HeldBackModel,
    judged: Collection[str],
    new_rng: Callable[[], np.random.Generator],
    *,
    significance: float = SIGNIFICANCE,
) -> list[Judgement]:
    """One judgement for each batch of `judged`, in order; the other batches only bear witness.

    Each round is a pure function of the answers that are left, so judging again what was not
    quarantined quarantines nothing more.
    """
    waiting, left, found = set(judged), answered, []
    while waiting:
        findings = corrected(list(_findings(left, model, sorted(waiting), new_rng())))
        worst = min(findings, key=lambda one: (one.corrected, one.p_value), default=None)
        if worst is None or worst.corrected > significance:
            found += [_judgement(batch, False, findings) for batch in sorted(waiting)]
            break
        found.append(_judgement(worst.batch, True, findings))
        waiting.remove(worst.batch)
        left = left.where(left.batches != worst.batch)
    return sorted(found, key=lambda one: one.batch)


def corrected(findings: list[Finding]) -> list[Finding]:
    """The findings with their p-values after Holm."""
    values = holm([one.p_value for one in findings])
    return [
        replace(one, corrected=float(value)) for one, value in zip(findings, values, strict=True)
    ]


def _judgement(batch: str, quarantine: bool, findings: list[Finding]) -> Judgement:
    own = [one for one in findings if one.batch == batch]
    return Judgement(batch, quarantine, tuple(sorted(own, key=lambda one: one.p_value)))


def _findings(
    answered: Answered, model: HeldBackModel, judged: list[str], rng: np.random.Generator
) -> Iterator[Finding]:
    gold = answered.gold >= 0
    labels = answered.where(~gold)
    said, known = answered.gold == 1, gold.copy()
    said[~gold], known[~gold] = others_said(labels)
    wrong = answered.spam != said

    def asked(witness: Witness, chosen: Booleans) -> Iterator[Finding]:
        return _whole_batches(witness, answered.where(chosen), wrong[chosen], judged)

    yield from asked("gold questions", gold)
    yield from asked("other reviewers", known & ~gold)
    yield from asked("gold questions and others about spam", known & said)
    yield from asked("gold questions and others about ham", known & ~said)

    scores = held_back_scores(model, labels.texts, labels.spam, labels.teachers, labels.groups, rng)
    heard = ~np.isnan(scores)
    if not heard.any():
        return
    labels, scores = labels.where(heard), scores[heard]
    wrong = (scores >= 0.5) != labels.spam
    rates = expected_rates(sureness_levels(scores), wrong, labels.teachers)
    cells = Cells.of(labels, wrong, rates)
    for batch in judged:
        yield from _by_the_model(batch, labels, wrong, cells)


def others_said(labels: Answered) -> tuple[Booleans, Booleans]:
    """bool[n] twice: whether others call the answer's event spam, and whether they said anything.

    An adjudicator of the event first; else most of the other reviewers' answers to its
    near-duplicates. A tie says nothing, and an adjudicator is held against nobody.
    """
    teachers, groups, spam = labels.teachers, labels.groups, labels.spam
    votes = np.where(spam, 1.0, -1.0)
    _, own = np.unique(np.column_stack([groups, teachers]), axis=0, return_inverse=True)
    others = np.bincount(groups, votes)[groups] - np.bincount(own.ravel(), votes)[own.ravel()]
    settled = {
        event: (teacher, is_spam)
        for event, teacher, is_spam, settles in zip(
            labels.events, teachers, spam, labels.settles, strict=True
        )
        if settles
    }
    for row, event in enumerate(labels.events):
        teacher, is_spam = settled.get(event, (teachers[row], False))
        if teacher != teachers[row]:
            others[row] = 1.0 if is_spam else -1.0
    return others > 0, (others != 0) & ~labels.settles


def _whole_batches(
    witness: Witness, rows: Answered, wrong: Booleans, judged: list[str]
) -> Iterator[Finding]:
    """Each batch against the rate at which the others disagree with this witness."""
    if not len(wrong):
        return
    teachers = rows.teachers
    names, place = np.unique(rows.batches, return_inverse=True)
    answers, errors = counted(place, np.ones_like(wrong)), counted(place, wrong)
    for number, batch in enumerate(names):
        if batch not in judged or answers[number] < FEWEST_ANSWERS:
            continue
        own = place == number
        others = np.unique(place[~np.isin(teachers, teachers[own])])
        k, n = errors[others], answers[others]
        rate = float((k.sum() + PRIOR_ERRORS) / (n.sum() + PRIOR_ANSWERS))
        many = n >= FEWEST_ANSWERS  # one error in one or two answers looks like dispersion
        concentration = fitted_concentration(k[many], n[many], rate)
        yield _finding(str(batch), witness, rows, own, wrong, rate, concentration)


def _by_the_model(batch: str, labels: Answered, wrong: Booleans, cells: Cells) -> Iterator[Finding]:
    """The whole batch, then each of its clusters, against what the others make likely."""
    own, mine = labels.batches == batch, cells.batches == batch
    if not own.any():
        return
    others = ~np.isin(cells.teachers, cells.teachers[mine])
    if own.sum() >= FEWEST_ANSWERS:
        rate, surely = cells.together(mine)
        surely = both(surely, fitted_concentration(*cells.batch_totals(others)))
        yield _finding(batch, "held-back model", labels, own, wrong, rate, surely)
    reviewers = fitted_concentration(
        cells.errors[others], cells.answers[others], cells.rates[others]
    )
    for cell in np.flatnonzero(mine & (cells.answers >= FEWEST_ANSWERS)):
        cluster, surely = int(cells.clusters[cell]), float(cells.concentrations[cell])
        found = _finding(
            batch, "held-back model, cluster", labels, own & (labels.clusters == cluster), wrong,
            float(cells.rates[cell]), both(surely, reviewers),
        )  # fmt: skip
        yield replace(found, cluster=cluster)


def _finding(
    batch: str,
    witness: Witness,
    rows: Answered,
    chosen: Booleans,
    wrong: Booleans,
    rate: float,
    concentration: float,
) -> Finding:
    answers, errors = int(chosen.sum()), int((chosen & wrong).sum())
    return Finding(
        batch=batch,
        witness=witness,
        answers=answers,
        disagreements=errors,
        expected=answers * rate,
        p_value=tail(errors, answers, rate, concentration),
        events=tuple(str(event) for event in rows.events[chosen & wrong][:SHOWN]),
    )
