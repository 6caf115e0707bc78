"""An attacker who sees nothing but answers, and may ask only so often.

For each message it searches sequences of moves, an attack at a strength each: one query for every
attack alone, then a (1+1) evolution of the best (a move is added, swapped, dropped, made stronger
or weaker, or drawn again; a change stays where the score does not rise), and a new start where
nothing helps any more. It stops at the first evasion, but for a few queries that seek a cheaper
one. All messages go forward together, one query each a round, so that a model answers in batches;
each has a random stream of its own, so that its course never depends on its neighbours.

Papernot et al. 2017, "Practical Black-Box Attacks against Machine Learning" (the threat model);
Gao et al. 2018, "Black-box Generation of Adversarial Text Sequences" (DeepWordBug) and Li et al.
2019, "TextBugger" (moves ranked by what they do to the score); Morris et al. 2020, "TextAttack"
(goal, moves and search apart; queries as the cost).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from data_contracts.events import Event
from evaluation.attacks.base import Attack
from evaluation.attacks.cost import edits
from evaluation.metrics import Floats

Score = Callable[[Sequence[Event]], Floats]
WEAKEST = 0.25  # the least strength of a move, as a share of the greatest allowed
DRAWS = 8  # draws for a candidate that differs from what was asked before


@dataclass(frozen=True)
class Weapon:
    """An attack, and the greatest strength at which a person still gets the message."""

    attack: Attack
    strongest: float

    def __post_init__(self) -> None:
        if not 0 < self.strongest <= 1:
            raise ValueError(f"strongest {self.strongest} of {self.attack.name} is not in (0, 1]")


@dataclass(frozen=True)
class Search:
    """How far to go for one message.

    `queries` counts those beyond the one in the clear; `thrift` of them are spent on cheaper
    evasions after the first. `longest` bounds the moves of a sequence, `patience` the queries
    without progress before a new start.
    """

    queries: int = 50
    longest: int = 3
    patience: int = 16
    thrift: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("queries", "longest", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} is below 1; raise it")


@dataclass(frozen=True)
class Move:
    """One attack at one strength with the seed of its own random choices."""

    attack: str
    strength: float
    seed: int


@dataclass(frozen=True)
class Evasion:
    """The cheapest evasion found: `queries` until the first one, `edits` of the cheapest."""

    event: Event
    moves: tuple[Move, ...]
    queries: int
    edits: int


@dataclass(frozen=True)
class Outcome:
    """One message: `caught` in the clear, in `reach` of any attack, `queries` spent in all."""

    event_id: str
    caught: bool
    reach: bool
    queries: int
    evasion: Evasion | None


def search(
    events: Sequence[Event], score: Score, threshold: float, weapons: Sequence[Weapon], how: Search
) -> list[Outcome]:
    """An outcome for each event, in order; only those caught in the clear are attacked.

    `score(events) -> float64[n]`, higher is more spam, and an event below `threshold` evades. For
    a model that gives decisions alone, score 1 where it acts and 0 where it allows, threshold 0.5.
    """
    courses = [
        _Course(event, clear, threshold, weapons, how)
        for event, clear in zip(events, score(events), strict=True)
    ]
    alive = [course for course in courses if course.caught]
    while alive:
        asked = [(course, tried) for course in alive if (tried := course.propose())]
        if asked:
            scores = score([tried.event for _, tried in asked])
            for (course, tried), answer in zip(asked, scores, strict=True):
                course.learn(tried, float(answer))
        alive = [course for course, _ in asked]
    return [course.outcome for course in courses]


@dataclass(frozen=True)
class _Candidate:
    """Moves, and the event after each of them; the clear event where there is no move."""

    clear: Event
    moves: tuple[Move, ...] = ()
    after: tuple[Event, ...] = ()

    @property
    def event(self) -> Event:
        return self.after[-1] if self.after else self.clear


class _Course:
    """The search for one message: `propose` a candidate, `learn` its score, until it is over."""

    def __init__(
        self, event: Event, score: float, threshold: float, weapons: Sequence[Weapon], how: Search
    ) -> None:
        self._rng = np.random.default_rng([how.seed, zlib.crc32(event.event_id.encode())])
        self._weapons = {w.attack.name: w for w in weapons if w.attack.applies_to(event)}
        self._threshold, self._how = threshold, how
        self._clear = _Candidate(event)
        self._best, self._best_score = self._clear, score
        order = self._rng.permutation(sorted(self._weapons)).tolist()
        self._untried = order[: max(1, how.queries // 2)]
        self._ranked: list[tuple[float, str]] = []  # attacks alone by the score they led to
        self._queries = self._stale = self._thrift = 0
        self._evasion: Evasion | None = None
        self.caught = score >= threshold

    @property
    def outcome(self) -> Outcome:
        event_id, reach = self._clear.event.event_id, bool(self._weapons)
        return Outcome(event_id, self.caught, reach, self._queries, self._evasion)

    def propose(self) -> _Candidate | None:
        """The next query; None where the budget is spent or nothing new can be made."""
        if self._queries >= self._how.queries or self._thrift > self._how.thrift:
            return None
        for _ in range(DRAWS + len(self._untried)):
            moves = self._cheaper() if self._evasion else self._next()
            tried = self._made(moves)
            if tried.event not in (self._clear.event, self._best.event):
                return tried
        return None

    def learn(self, tried: _Candidate, score: float) -> None:
        """Keep what does not raise the score, or what evades at a lower cost."""
        self._queries += 1
        if len(tried.moves) == 1:
            self._ranked = sorted([*self._ranked, (score, tried.moves[0].attack)])
        if score < self._threshold:
            self._keep_if_cheaper(tried)
        if self._evasion:
            self._thrift += 1
            return
        self._stale = 0 if score < self._best_score else self._stale + 1
        if score <= self._best_score:
            self._best, self._best_score = tried, score

    def _keep_if_cheaper(self, tried: _Candidate) -> None:
        cost = edits(self._clear.event, tried.event)
        if self._evasion is None:
            self._evasion = Evasion(tried.event, tried.moves, self._queries, cost)
            self._best = tried
        elif cost < self._evasion.edits:
            self._evasion = replace(self._evasion, event=tried.event, moves=tried.moves, edits=cost)
            self._best = tried

    def _next(self) -> tuple[Move, ...]:
        if self._untried:
            return (self._move(self._untried.pop()),)
        if self._stale >= self._how.patience:
            self._stale, self._best, self._best_score = 0, self._clear, np.inf
        if not self._best.moves:
            count = int(self._rng.integers(1, self._how.longest + 1))
            return tuple(self._move() for _ in range(count)) if self._weapons else ()
        return self._changed(self._best.moves)

    def _changed(self, moves: tuple[Move, ...]) -> tuple[Move, ...]:
        """Add, swap, drop or redraw one move."""
        at = int(self._rng.integers(len(moves)))
        kinds = ["swap", "redraw"]
        kinds += ["add", "add"] if len(moves) < self._how.longest else []
        kinds += ["drop"] if len(moves) > 1 else []
        match str(self._rng.choice(kinds)):
            case "add":
                return (*moves, self._move())
            case "swap":
                return (*moves[:at], self._move(), *moves[at + 1 :])
            case "drop":
                return (*moves[:at], *moves[at + 1 :])
            case _:
                return (*moves[:at], self._move(moves[at].attack), *moves[at + 1 :])

    def _cheaper(self) -> tuple[Move, ...]:
        """The evasion with one move left out, or done by half."""
        moves = self._best.moves
        at = int(self._rng.integers(len(moves)))
        if len(moves) > 1 and self._rng.random() < 0.5:
            return (*moves[:at], *moves[at + 1 :])
        return (*moves[:at], replace(moves[at], strength=moves[at].strength / 2), *moves[at + 1 :])

    def _move(self, name: str | None = None) -> Move:
        name = name or self._promising()
        strength = self._weapons[name].strongest * self._rng.uniform(WEAKEST, 1.0)
        return Move(name, float(strength), int(self._rng.integers(2**32)))

    def _promising(self) -> str:
        """An attack: those that did most alone come up most often."""
        seen = list(dict.fromkeys(name for _, name in self._ranked))
        names = [*seen, *sorted(self._weapons.keys() - set(seen))]
        return names[int(len(names) * self._rng.random() ** 2)]

    def _made(self, moves: tuple[Move, ...]) -> _Candidate:
        """The clear event with these moves, from where they leave those of the best."""
        shared = 0
        for one, other in zip(moves, self._best.moves, strict=False):
            if one != other:
                break
            shared += 1
        after = list(self._best.after[:shared])
        for move in moves[shared:]:
            rng, attack = np.random.default_rng(move.seed), self._weapons[move.attack].attack
            event = after[-1] if after else self._clear.event
            after.append(attack.disguise(event, move.strength, rng))
        return _Candidate(self._clear.event, moves, tuple(after))
