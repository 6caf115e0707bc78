"""Filters of mail as `bench-prefilter` compares them: taught, asked, and their CPU-seconds read.

All are given the same parsed input: subject and body, without any other header.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from data_contracts.errors import MissingPart
from data_contracts.labels import LabelledEvent
from evaluation.metrics import Floats, Integers
from pipelines.features.text.encoder import Embedding
from pipelines.features.text.extraction import CHEAP_NAMES, TextExtractor
from pipelines.splits import grouped_folds
from tests.performance.rspamd import Rspamd
from training.boosted_trees import BoostedTrees
from training.ngram_log_odds import NgramLogOdds
from training.prefilter import fit_prefilter, prefilter_columns
from training.stacking import Fitting, Parameters, divide, ngrams_out_of_fold
from training.table import build_table

FOLDS = 5
BOGOFILTER = "bogofilter"
_HEADERS = (
    "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit"
)
Rows = Sequence[LabelledEvent]


@dataclass(frozen=True)
class Answer:
    """`scores` float64[n]; CPU of the process that judges, and of a server that it asks."""

    scores: Floats
    seconds: float
    seconds_of_store: float = 0.0


class Filter(Protocol):
    """`teach` forgets what was taught before. `name` as the table has it."""

    name: str

    def teach(self, rows: Rows, groups: Integers) -> None: ...

    def judge(self, rows: Rows) -> Answer: ...


def mail(text: str) -> bytes:
    """The first line as the subject, the rest as the body of an RFC 5322 message."""
    subject, _, body = text.partition("\n")
    head = f"Subject: {' '.join(subject.split())}\n{_HEADERS}\n\n"
    return (head + body).replace("\0", " ").encode("utf-8", "replace")


class _NoEncoder:
    """The prefilter reads no embedding."""

    def encode(self, text: str) -> Embedding:
        return np.zeros(1, np.float32)


@dataclass
class WeirPrefilter:
    """Cheap features, n-gram log-odds and trees, trained as the ensemble trains them.

    `at_once` mails are read together, as in bulk scoring; 1 is how a single request is read.
    """

    at_once: int
    seed: int
    name: str = "Weir's prefilter"

    def teach(self, rows: Rows, groups: Integers) -> None:
        table, vocabulary, self._context = build_table(rows, _NoEncoder(), lambda said: None)
        names = ("ngram_log_odds", *CHEAP_NAMES, *self._context.names)
        fitting, parameters = Fitting(names, self.seed), Parameters()
        folds = grouped_folds(groups, table.targets, FOLDS, np.random.default_rng(self.seed))
        divisions = divide(folds, np.ones(len(rows), bool))
        ngrams, members = ngrams_out_of_fold(table, divisions, parameters.ngram_strength)
        columns = prefilter_columns(ngrams, table.lexical, table.context)
        booster = fit_prefilter(
            columns, table.targets, fitting.column_names, parameters.prefilter, seed=self.seed
        )
        self._extractor = TextExtractor(vocabulary, _NoEncoder())
        self._ngrams = NgramLogOdds.average(members)
        self._trees = BoostedTrees(booster.model_to_string())

    def judge(self, rows: Rows) -> Answer:
        parts = [rows[at : at + self.at_once] for at in range(0, len(rows), self.at_once)]
        began = time.process_time()
        scores = [self._scores(part) for part in parts]
        return Answer(np.concatenate(scores), time.process_time() - began)

    def _scores(self, rows: Rows) -> Floats:
        cheap = self._extractor.cheap_rows([row.event.text for row in rows])
        context = np.stack([self._context.values(row.event) for row in rows])
        ngrams = self._ngrams.scores(cheap.ngrams)
        return self._trees.scores(prefilter_columns(ngrams, cheap.lexical, context))


@dataclass
class Bogofilter:
    """Debian's, taught with -s and -n, asked in bulk mode: one process, file names on stdin."""

    folder: Path
    name: str = BOGOFILTER

    def teach(self, rows: Rows, groups: Integers) -> None:
        if shutil.which(BOGOFILTER) is None:
            raise MissingPart("bogofilter is not installed; `apt-get install bogofilter`")
        self._words = Path(tempfile.mkdtemp(dir=self.folder))
        for flag, is_spam in (("-s", True), ("-n", False)):
            self._run([flag, "-b"], [row for row in rows if row.is_spam == is_spam])

    def judge(self, rows: Rows) -> Answer:
        before = _children_seconds()
        lines = self._run(["-TT", "-v", "-b"], rows).splitlines()
        seconds = _children_seconds() - before
        if len(lines) != len(rows):
            raise RuntimeError(f"bogofilter answered {len(lines)} of {len(rows)} mails")
        return Answer(np.array([float(line.split()[-1]) for line in lines]), seconds)

    def _run(self, flags: Sequence[str], rows: Rows) -> bytes:
        names = "\n".join(str(self._file(row)) for row in rows)
        finished = subprocess.run(
            [BOGOFILTER, "-C", *flags, "-d", str(self._words)],
            input=names.encode(), capture_output=True, check=False,
        )  # fmt: skip
        if finished.returncode > 2:  # 0, 1 and 2 are spam, ham and unsure
            raise RuntimeError(f"bogofilter {flags} ended with {finished.returncode}")
        return finished.stdout

    def _file(self, row: LabelledEvent) -> Path:
        path = self.folder / row.event.event_id
        if not path.exists():
            path.write_bytes(mail(row.event.text))
        return path


@dataclass
class RspamdFilter:
    """A private Rspamd, all rules that it is shipped with or some symbols alone."""

    server: Rspamd
    name: str
    symbols: tuple[str, ...] = field(default=())

    def teach(self, rows: Rows, groups: Integers) -> None:
        self.server.forget()
        self.server.teach([mail(row.event.text) for row in rows], [row.is_spam for row in rows])

    def judge(self, rows: Rows) -> Answer:
        mails = [mail(row.event.text) for row in rows]
        worker, store = self.server.seconds()
        scores = self.server.scores(mails, self.symbols)
        after, store_after = self.server.seconds()
        return Answer(np.array(scores), after - worker, store_after - store)


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
