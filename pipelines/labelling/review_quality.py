"""What the labels are worth: agreement, each reviewer's reliability, and what is still open."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from data_contracts.config import Settings
from data_contracts.errors import NothingToDo
from data_contracts.secrets import ACCOUNT_KEY, secret
from pipelines.accounts import hash_account
from pipelines.days import days_to_do
from pipelines.labelling.agreement import cohen_kappas, krippendorff_alpha
from pipelines.labelling.queue import Answer, open_label_queue
from pipelines.labelling.queue_tables import ADJUDICATION, State
from pipelines.labelling.reviewer_reliability import reliability

PSEUDONYM_DIGITS = 12


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """`python -m pipelines review-quality`: of every day together, or of one; writes nothing.

    Answers of removed batches do not count, those in quarantine do. Reviewers appear as keyed
    hashes. Raises NothingToDo where nobody has answered anything.
    """
    labelling = settings.labelling
    queue = open_label_queue(settings.state_url, labelling.lease_seconds)
    progress = queue.progress()
    day, days = arguments.day, list(progress)
    if day is not None:
        days = days_to_do(day, days, lambda _: False, where="the label queue")
    batches = queue.batches()
    removed = {batch.batch for batch in batches if batch.state == "removed"}
    counting = [answer for answer in queue.answers(day) if answer.batch not in removed]
    if not counting:
        raise NothingToDo(f"nobody has answered anything of {day or 'any day'} in the label queue")
    key = secret(ACCOUNT_KEY, settings.home)
    known = {answer.reviewer for answer in counting}
    names = {reviewer: hash_account(reviewer, key)[:PSEUDONYM_DIGITS] for reviewer in known}
    answers = [replace(answer, reviewer=names[answer.reviewer]) for answer in counting]
    return {
        "days": days,
        "answers": len(answers),
        "tasks": _total([progress[one] for one in days]),
        "batches": dict(Counter(batch.state for batch in batches)),
        **quality(answers, np.random.default_rng(labelling.seed)),
    }


def quality(answers: Sequence[Answer], rng: np.random.Generator) -> dict[str, Any]:
    """Agreement and reliability; adjudicators saw a dispute, so their word is no second opinion."""
    blind = [answer for answer in answers if answer.source != ADJUDICATION]
    pairs = cohen_kappas(blind, rng)
    return {
        "krippendorff_alpha": asdict(krippendorff_alpha(blind, rng)),
        "cohen_kappa": [{"reviewers": list(pair)} | asdict(pairs[pair]) for pair in sorted(pairs)],
        "reviewers": [asdict(one) for one in reliability(blind)],
    }


def _total(progress: Sequence[Mapping[State, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for states in progress:
        total.update(states)
    return dict(total)
