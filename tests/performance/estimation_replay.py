"""The replay of `bench_estimated_performance`: real texts, one classifier, windows that drift.

One text stands for each near-duplicate group. A group trains the classifier (TF-IDF of hashed
n-grams, logistic regression), or is the labelled reference that calibrates it and sets its
threshold, or may be audited, or is judged: never two of these, so no label that an estimate may
use is of a text that it is judged on. Windows draw from the judged texts without repeats, so a
text comes back in other windows of a replay, as spam does, and windows of one replay are not
independent: seeds are. Days are made: the sets have no dates, so order, lateness and drift are
drawn, and seeded. Drift begins at window DRIFT_FROM; a mix and a prevalence move step by step, a
campaign and a change of meaning come at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression

from data_contracts.labels import LabelledEvent
from evaluation.metrics import Booleans, Floats, Integers
from evaluation.monitoring.performance_estimation_calibration import Labelled, Scored
from pipelines.near_duplicates import group_related
from training.calibration import fit_calibration
from training.logistic import logit

TEXT_CHARACTERS, NGRAM_COLUMNS, COMPONENTS = 1000, 2**16, 48
INVERSE_PENALTY = 10.0
FALSE_POSITIVE_RATE = 0.02  # of the reference's ham, at the threshold
SPARE = 2  # times the texts that a set gives to a campaign or to a change of meaning
WINDOWS, DRIFT_FROM = 10, 4
AUDITABLE = 0.4  # of the texts that are planted
STEADY, MIX, PRIOR, CAMPAIGN, MARKET, CONCEPT = (
    "steady", "language mix", "class prior", "new campaign", "new source", "concept",
)  # fmt: skip
SCENARIOS = (STEADY, MIX, PRIOR, CAMPAIGN, MARKET, CONCEPT)


@dataclass(frozen=True)
class Sizes:
    """Texts that train, calibrate and may be audited; events and audit draws of a window.

    Labels take an exponential time, of mean `acted_delay` windows where the filter acted and
    `passed_delay` where it did not, as in `audit_simulation`. `prevalence` of spam and `mixes` of
    the sets are before and after their drift; a campaign, of a family of `family` texts,
    and the set `unseen` are `planted` of a window; `changed` texts of one set change their meaning.
    """

    training: int
    reference: int
    auditable: int
    window: int
    draws: int
    prevalence: tuple[float, float]
    mixes: tuple[Mapping[str, float], Mapping[str, float]]
    unseen: str
    planted: float
    family: int
    changed: int
    passed_delay: float = 0.3
    acted_delay: float = 1.0


@dataclass(frozen=True, eq=False)
class Corpus:
    """One text a group: counts csr[n, NGRAM_COLUMNS], bool[n], the set of each text str[n]."""

    counts: csr_matrix
    is_spam: Booleans
    sets: NDArray[np.str_]


@dataclass(frozen=True, eq=False)
class Audit:
    """The draws of a window; `known_at` float64[n] in windows, 1.0 is the end of the first."""

    labelled: Labelled
    known_at: Floats

    def by(self, moment: float) -> Labelled:
        """What is known by then."""
        return self.labelled.take(self.known_at <= moment)


@dataclass(frozen=True, eq=False)
class Window:
    """The judged events with the truth that no estimate sees, and the audit's draws."""

    scored: Scored
    is_spam: Booleans
    audit: Audit


@dataclass(frozen=True, eq=False)
class Replay:
    """The labelled reference, known from the start, and the windows of a scenario and seed."""

    scenario: str
    seed: int
    reference: Labelled
    windows: Sequence[Window]


def corpus_of(rows: Sequence[LabelledEvent]) -> Corpus:
    """The first text of each group of related rows; hashed characters 2-4 and words."""
    groups = group_related(rows)
    keys = np.char.add(groups.astype(str), [f" {row.dataset}" for row in rows])
    kept = [rows[place] for place in np.sort(np.unique(keys, return_index=True)[1])]
    texts = [row.event.text[:TEXT_CHARACTERS] for row in kept]
    settings = {"alternate_sign": False, "norm": None, "dtype": np.float32}
    characters = HashingVectorizer(
        analyzer="char_wb", ngram_range=(2, 4), n_features=NGRAM_COLUMNS, **settings
    )
    words = HashingVectorizer(analyzer="word", n_features=NGRAM_COLUMNS // 4, **settings)
    return Corpus(
        counts=csr_matrix(hstack([characters.transform(texts), words.transform(texts)])),
        is_spam=np.array([row.is_spam for row in kept]),
        sets=np.array([row.dataset for row in kept]),
    )


@dataclass(frozen=True)
class Pool:
    """Rows to draw from, in the order in which they are drawn; `planted` by scenario."""

    rows: Integers
    planted: dict[str, Integers]

    def shuffled(self, rng: np.random.Generator) -> Pool:
        """In another order."""
        planted = {name: rng.permutation(rows) for name, rows in self.planted.items()}
        return Pool(rng.permutation(self.rows), planted)

    def used(self, rows: Integers) -> Pool:
        """With these rows last: they come again only when nothing else is left."""

        def last(ring: Integers) -> Integers:
            again = np.isin(ring, rows)
            return np.concatenate([ring[~again], ring[again]])

        planted = {name: last(ring) for name, ring in self.planted.items()}
        return Pool(last(self.rows), planted)


class Stage:
    """One seed's classifier and pools, shared by its scenarios."""

    def __init__(self, corpus: Corpus, sizes: Sizes, seed: int) -> None:
        self.corpus, self.sizes, self.seed = corpus, sizes, seed
        rng = np.random.default_rng([seed, 0])
        self.changed = _neighbours(corpus, rng, sizes.changed, sizes.unseen, spam=bool(seed % 2))
        unseen = np.flatnonzero(corpus.sets == sizes.unseen)
        family = _neighbours(corpus, rng, sizes.family, sizes.unseen, spam=True)
        rest = rng.permutation(np.setdiff1d(np.arange(len(corpus.is_spam)), [*unseen, *family]))
        parts = []
        for count in (sizes.training, sizes.reference, sizes.auditable):
            parts.append(_mixed(corpus, rest, sizes.mixes[0], sizes.prevalence[0], count))
            rest = rest[~np.isin(rest, parts[-1])]
        self.training, self.reference, auditable = parts
        self.auditable, self.judged = Pool(auditable, {}), Pool(rest, {})
        for name, rows in ((CAMPAIGN, rng.permutation(family)), (MARKET, rng.permutation(unseen))):
            cut = round(len(rows) * AUDITABLE)
            self.auditable.planted[name], self.judged.planted[name] = rows[:cut], rows[cut:]
        self._score()

    def replay(self, scenario: str) -> Replay:
        """The windows of one scenario."""
        rng = np.random.default_rng([self.seed, 1 + SCENARIOS.index(scenario)])
        truth = self.corpus.is_spam[self.reference]
        ring, windows = self.auditable, []
        for number in range(WINDOWS):
            drift = max(0.0, (number - DRIFT_FROM + 1) / (WINDOWS - DRIFT_FROM))
            rows = self._rows(scenario, drift, self.judged.shuffled(rng), self.sizes.window)
            drawn = self._rows(scenario, drift, ring, self.sizes.draws)
            ring = ring.used(drawn)
            audit = self._audit(number, drawn, self._truth(scenario, drift, drawn), rng)
            windows.append(Window(self.scored(rows), self._truth(scenario, drift, rows), audit))
        reference = Labelled(self.scored(self.reference), truth)
        return Replay(scenario, self.seed, reference, windows)

    def scored(self, rows: Integers) -> Scored:
        """What the classifier says of these rows."""
        odds = self.log_odds[rows]
        return Scored(odds, odds >= self.threshold, self.corpus.sets[rows], self.features[rows])

    def _score(self) -> None:
        corpus, rows = self.corpus, self.training
        weighting = TfidfTransformer(sublinear_tf=True).fit(corpus.counts[rows])
        vectors = weighting.transform(corpus.counts)
        model = LogisticRegression(C=INVERSE_PENALTY, solver="liblinear", random_state=0)
        raw = model.fit(vectors[rows], corpus.is_spam[rows]).decision_function(vectors)
        reduced = TruncatedSVD(COMPONENTS, random_state=0).fit(vectors[rows])
        self.features = reduced.transform(vectors)
        truth = corpus.is_spam[self.reference]
        calibration = fit_calibration(raw[self.reference], truth.astype(np.int64))
        self.log_odds = logit(calibration.probability(raw))
        ham = self.log_odds[self.reference][~truth]
        self.threshold = float(np.quantile(ham, 1 - FALSE_POSITIVE_RATE))

    def _audit(
        self, number: int, rows: Integers, truth: Booleans, rng: np.random.Generator
    ) -> Audit:
        scored, sizes = self.scored(rows), self.sizes
        delays = np.where(scored.positive, sizes.acted_delay, sizes.passed_delay)
        known = number + rng.random(len(rows)) + rng.exponential(delays)
        return Audit(Labelled(scored, truth), known)

    def _rows(
        self,
        scenario: str,
        drift: float,
        pool: Pool,
        count: int,
    ) -> Integers:
        """The first `count` of the pool, with those that the scenario plants; `drift` in [0, 1]."""
        (before, after), sizes = self.sizes.prevalence, self.sizes
        planted = np.zeros(0, np.int64)
        if drift and scenario in pool.planted:
            planted = pool.planted[scenario][: round(sizes.planted * count)]
        prevalence = before + drift * (after - before) * (scenario == PRIOR)
        moved = drift * (scenario == MIX)
        mix = {
            name: share + moved * (sizes.mixes[1][name] - share)
            for name, share in sizes.mixes[0].items()
        }
        chosen = _mixed(self.corpus, pool.rows, mix, prevalence, count - len(planted))
        return np.concatenate([chosen, planted])

    def _truth(self, scenario: str, drift: float, rows: Integers) -> Booleans:
        changed = np.isin(rows, self.changed) & (scenario == CONCEPT) & (drift > 0)
        return np.asarray(self.corpus.is_spam[rows] ^ changed)


def _mixed(
    corpus: Corpus, rows: Integers, mix: Mapping[str, float], prevalence: float, count: int
) -> Integers:
    """The first of `rows` that make up the mix; ValueError where there are too few."""
    found = []
    for name, share in mix.items():
        for spam, part in ((True, prevalence), (False, 1 - prevalence)):
            wanted = round(count * share * part)
            own = rows[(corpus.sets[rows] == name) & (corpus.is_spam[rows] == spam)]
            if len(own) < wanted:
                raise ValueError(
                    f"{wanted} texts of {name} (spam: {spam}) are wanted, {len(own)} are left; "
                    "make windows smaller"
                )
            found.append(own[:wanted])
    return np.concatenate(found)


def _neighbours(
    corpus: Corpus, rng: np.random.Generator, size: int, unseen: str, *, spam: bool
) -> Integers:
    """The `size` texts of one kind nearest to a random one, by cosine of TF-IDF, in its set, which
    is one that can spare them.
    """
    names, counts = np.unique(corpus.sets[corpus.is_spam == spam], return_counts=True)
    able = np.isin(corpus.sets, names[(counts >= SPARE * size) & (names != unseen)])
    centre = int(rng.choice(np.flatnonzero((corpus.is_spam == spam) & able)))
    alike = np.flatnonzero((corpus.is_spam == spam) & (corpus.sets == corpus.sets[centre]))
    vectors = TfidfTransformer(sublinear_tf=True).fit_transform(corpus.counts[alike])
    near = np.asarray((vectors @ vectors[alike == centre].T).todense()).ravel()
    return np.asarray(alike[np.argsort(-near, kind="stable")[:size]], np.int64)
