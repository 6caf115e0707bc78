"""What Weir is measured against: TF-IDF with logistic regression, and bogofilter.

Each baseline gives scores of the test rows and, for its thresholds, out-of-fold scores of the
training rows. Answers are cached under `{home}/cache/bench-quality` by the content they depend on.
"""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression

from data_contracts.errors import MissingPart
from data_contracts.files import write_atomically
from evaluation.metrics import Booleans, Floats, Integers

VERSION = "1"
BOGOFILTER = "bogofilter"
_HEADER = b"From weir\nContent-Type: text/plain; charset=utf-8\n\n"
_FROM_LINE = re.compile(rb"^(>*From )", re.MULTILINE)


@dataclass(frozen=True)
class Split:
    """Texts, labels and folds of the training rows, and the texts of the test rows."""

    texts: Sequence[str]
    labels: Booleans
    folds: Integers
    test_texts: Sequence[str]


@dataclass(frozen=True)
class Scores:
    """`out_of_fold: float64[training rows]`, `test: float64[test rows]`."""

    out_of_fold: Floats
    test: Floats


Baseline = Callable[[Split], Scores]


def cached(baseline: Baseline, split: Split, folder: Path) -> Scores:
    """The baseline's scores, computed once for the same texts, labels and folds."""
    name = getattr(baseline, "__name__", "baseline")
    path = folder / f"{name}-{_digest(name, split)}.npz"
    if path.is_file():
        stored = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
        return Scores(stored["out_of_fold"], stored["test"])
    scores = baseline(split)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, out_of_fold=scores.out_of_fold, test=scores.test)
    write_atomically(path, buffer.getvalue())
    return scores


def tfidf_logistic_regression(split: Split) -> Scores:
    """Characters 2-5 and words 1-2, sublinear TF-IDF, L2 logistic regression (C = 10).

    Terms are counted once over all training rows (a term that a fold never saw has weight zero
    there); inverse document frequencies and weights are learned on the fold's own rows.
    """
    counted, test = _counts(split.texts, split.test_texts)
    out_of_fold = np.zeros(len(split.texts))
    for fold in np.unique(split.folds):
        inside = split.folds != fold
        out_of_fold[~inside] = _fitted(counted[inside], split.labels[inside], counted[~inside])
    return Scores(out_of_fold, _fitted(counted, split.labels, test))


def bogofilter(split: Split) -> Scores:
    """Robinson-Fisher as Debian packages it, trained with -s and -n, scored with -T."""
    if shutil.which(BOGOFILTER) is None:
        raise MissingPart("bogofilter is not installed; `apt-get install bogofilter`")
    texts = np.array(split.texts, dtype=object)
    out_of_fold = np.zeros(len(texts))
    for fold in np.unique(split.folds):
        inside = split.folds != fold
        out_of_fold[~inside] = _bogofilter(texts[inside], split.labels[inside], texts[~inside])
    return Scores(out_of_fold, _bogofilter(texts, split.labels, split.test_texts))


def _counts(texts: Sequence[str], test_texts: Sequence[str]) -> tuple[csr_matrix, csr_matrix]:
    blocks, test_blocks = [], []
    for analyzer, lengths, fewest in (("char", (2, 5), 3), ("word", (1, 2), 2)):
        vectorizer = CountVectorizer(
            analyzer=analyzer, ngram_range=lengths, min_df=min(fewest, len(texts)), dtype=np.float32
        )
        blocks.append(vectorizer.fit_transform(texts))
        test_blocks.append(vectorizer.transform(test_texts))
    return hstack(blocks, format="csr"), hstack(test_blocks, format="csr")


def _fitted(counts: csr_matrix, labels: Booleans, wanted: csr_matrix) -> Floats:
    weighting = TfidfTransformer(sublinear_tf=True).fit(counts)
    model = LogisticRegression(C=10, solver="liblinear", random_state=0, max_iter=200)
    model.fit(weighting.transform(counts), labels)
    scores: Floats = model.decision_function(weighting.transform(wanted))
    return scores


def _bogofilter(texts: Sequence[str], labels: Booleans, wanted: Sequence[str]) -> Floats:
    with tempfile.TemporaryDirectory() as folder:
        for flag, among in (("-s", labels), ("-n", ~labels)):
            chosen = [text for text, keep in zip(texts, among, strict=True) if keep]
            _run_bogofilter([flag], folder, chosen)
        lines = _run_bogofilter(["-TT"], folder, wanted).split()
    if len(lines) != len(wanted):
        raise RuntimeError(f"bogofilter answered {len(lines)} of {len(wanted)} messages")
    return np.array([float(line) for line in lines])


def _run_bogofilter(flags: list[str], folder: str, texts: Sequence[str]) -> bytes:
    mailbox = b"".join(_HEADER + _escaped(text) + b"\n\n" for text in texts)
    finished = subprocess.run(
        [BOGOFILTER, "-C", "-M", *flags, "-d", folder],
        input=mailbox,
        capture_output=True,
        check=False,
    )
    if finished.returncode > 2:  # 0, 1 and 2 are spam, ham and unsure
        raise RuntimeError(f"bogofilter {flags} ended with {finished.returncode}")
    return finished.stdout


def _escaped(text: str) -> bytes:
    """As a mailbox holds it: a line that begins with From is quoted."""
    plain = text.replace("\0", " ").encode("utf-8", "replace")
    return _FROM_LINE.sub(rb">\1", plain)


def _digest(name: str, split: Split) -> str:
    total = hashlib.sha256(f"{VERSION} {name}".encode())
    for text in (*split.texts, "\x01", *split.test_texts):
        total.update(text.encode("utf-8", "surrogatepass") + b"\0")
    arrays: tuple[NDArray[np.generic], ...] = (split.labels, split.folds)
    for array in arrays:
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()[:24]
