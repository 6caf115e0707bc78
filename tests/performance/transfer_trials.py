"""What is trained on and what is held out in each trial of bench-transfer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from data_contracts.config import Settings
from data_contracts.labels import LabelledEvent
from evaluation.metrics import Booleans, Integers
from pipelines.catalogue import read_labelled
from pipelines.near_duplicates import group_related
from pipelines.splits import temporal_split
from tests.performance.meaning_tables import held_out_fold

SMS, TURKISH, CHINESE = "text_sms_spam_uci", "text_sms_turkish", "text_telegram_chinese"
YOUTUBE, MAIL = "text_youtube_spam", "text_spamassassin"
CORPORA = (SMS, TURKISH, CHINESE, YOUTUBE, MAIL)
TRANSLATED = tuple(f"text_sms_multilingual_{tag}" for tag in ("de", "fr", "hi"))
OLDER_THAN_YOUTUBE = (SMS, MAIL)  # of 2004-2011 and of 2002-2003; the other sets bear no dates
LATEST_SHARE = 0.25


@dataclass(frozen=True)
class Tested:
    """Rows to be judged with the `groups` int64[n] of related ones.

    `left_out` rows of the set are not among them: they are related to a row of the training.
    """

    name: str
    rows: Sequence[LabelledEvent]
    groups: Integers
    left_out: int

    @cached_property
    def labels(self) -> Booleans:
        """bool[n]: which are spam."""
        return np.array([row.is_spam for row in self.rows], dtype=bool)


@dataclass(frozen=True)
class Trial:
    """Rows to train on, and what to judge by name."""

    training: Sequence[LabelledEvent]
    tests: Sequence[Tested]


def unseen(settings: Settings, *, judged: Sequence[str], never: Sequence[str]) -> Trial:
    """Trained on all corpora but those of the kind held out: `never`, which holds `judged`."""
    trained = [name for name in CORPORA if name not in never]
    rows = _read((*trained, *judged), settings)
    return divided(rows, group_related(rows), np.isin(_names(rows), trained), judged)


def unseen_translations(settings: Settings) -> Trial:
    """German, French and Hindi, of English messages that are none of the four fifths trained on."""
    rows = _read((*CORPORA, *TRANSLATED), settings)
    groups, names = group_related(rows), _names(rows)
    of_sms = np.flatnonzero(np.isin(names, (SMS, *TRANSLATED)))
    held_out = np.zeros(len(rows), bool)
    held_out[of_sms] = held_out_fold([rows[at] for at in of_sms], groups[of_sms])
    return divided(rows, groups, np.isin(names, CORPORA) & ~held_out, TRANSLATED)


def later_days(settings: Settings) -> Trial:
    """YouTube's latest comments, after its earlier ones and the corpora that are older still.

    Comments without a date are in neither part.
    """
    dated = [(row, row.event.occurred_at) for row in _read((YOUTUBE,), settings)]
    comments = [(row, time) for row, time in dated if time is not None]
    rows = [*(row for row, _ in comments), *_read(OLDER_THAN_YOUTUBE, settings)]
    groups, names = group_related(rows), _names(rows)
    times = [time for _, time in comments]
    earlier, _ = temporal_split(times, groups[: len(times)], LATEST_SHARE)
    trained = np.isin(names, OLDER_THAN_YOUTUBE)
    trained[earlier] = True
    return divided(rows, groups, trained, (YOUTUBE,))


def divided(
    rows: Sequence[LabelledEvent], groups: Integers, trained: Booleans, judged: Sequence[str]
) -> Trial:
    """`trained` bool[n] says which rows are learnt from; of `judged` sets all others are tests,
    without those that are related to one.
    """
    names, related = _names(rows), np.isin(groups, groups[trained])
    tests = []
    for name in judged:
        candidates = (names == name) & ~trained
        chosen = candidates & ~related
        tests.append(
            Tested(name, _chosen(rows, chosen), groups[chosen], int((candidates & related).sum()))
        )
    return Trial(_chosen(rows, trained), tests)


def _read(names: Sequence[str], settings: Settings) -> list[LabelledEvent]:
    return [row for name in names for row in read_labelled(name, settings.data, settings.cache)]


def _names(rows: Sequence[LabelledEvent]) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    return np.array([row.dataset for row in rows])


def _chosen(rows: Sequence[LabelledEvent], chosen: Booleans) -> list[LabelledEvent]:
    return [row for row, keep in zip(rows, chosen, strict=True) if keep]


TRIALS: Mapping[str, Callable[[Settings], Trial]] = {
    "unseen mail": partial(unseen, judged=(MAIL,), never=(MAIL,)),
    "unseen SMS": partial(unseen, judged=(SMS, TURKISH), never=(SMS, TURKISH)),
    "unseen Chinese": partial(unseen, judged=(CHINESE,), never=(CHINESE,)),
    "unseen de, fr, hi": unseen_translations,
    "later days": later_days,
}
