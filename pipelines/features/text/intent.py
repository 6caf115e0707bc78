"""What a message wants: a linear reading of the sentence embedding, learned from examples.

`intents.yaml` holds the examples, `intents.npz` what was learned from them, so that nothing is
encoded on load. The head is a softmax regression; on examples grouped by meaning it beat the
nearest prototypes and kernel densities over them (Snell et al. 2017, "Prototypical networks").
"""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

from data_contracts.errors import BadInput
from data_contracts.files import write_atomically
from pipelines.features.text.encoder import Embedding, OnnxEncoder, TextEncoder
from pipelines.features.text.normalisation import readable

EXAMPLES = Path(__file__).with_name("intents.yaml")
HEAD = Path(__file__).with_name("intents.npz")
ENCODER = "multilingual-512"
REGULARISATION = 100.0  # sklearn's C: the best log loss on the examples, grouped by meaning
_REMEDY = "run `python -m pipelines.features.text.intent`"


class Example(NamedTuple):
    """One sentence with its intent and its BCP 47 language."""

    intent: str
    language: str
    text: str


@dataclass(frozen=True)
class IntentHead:
    """`weights` float32[len(names), d + 1], the intercept last."""

    names: tuple[str, ...]
    weights: NDArray[np.float32]

    def read(self, embedding: Embedding) -> NDArray[np.float32]:
        """The probability of each intent, float32[len(names)], summing to 1; NaN for no text."""
        if not embedding.any():
            return np.full(len(self.names), np.nan, np.float32)
        scores = (self.weights[:, :-1] @ embedding + self.weights[:, -1]).astype(np.float64)
        odds = np.exp(scores - scores.max())
        probabilities: NDArray[np.float32] = (odds / odds.sum()).astype(np.float32)
        return probabilities


@cache
def intents() -> Mapping[str, bool]:
    """Every intent by name, in order: whether it is one of unwanted messages."""
    listed = _listed()
    return {name: name not in listed["benign"] for name in listed["intents"]}


def examples() -> list[Example]:
    """All sentences of EXAMPLES, in its order."""
    return [
        Example(intent, language, text)
        for intent, languages in _listed()["intents"].items()
        for language, texts in languages.items()
        for text in texts
    ]


def fit_head(given: Sequence[Example], encoder: TextEncoder) -> IntentHead:
    """The head learned from these examples; the same for the same examples and encoder."""
    from sklearn.linear_model import LogisticRegression

    names = tuple(dict.fromkeys(example.intent for example in given))
    embeddings = np.array([encoder.encode(readable(example.text)) for example in given])
    numbers = [names.index(example.intent) for example in given]
    model = LogisticRegression(C=REGULARISATION, max_iter=3000).fit(embeddings, numbers)
    return IntentHead(names, np.column_stack([model.coef_, model.intercept_]).astype(np.float32))


@cache
def shipped_head() -> IntentHead:
    """The head of HEAD; BadInput where it was learned from other examples than EXAMPLES."""
    with np.load(io.BytesIO(HEAD.read_bytes()), allow_pickle=False) as stored:
        head = IntentHead(tuple(map(str, stored["names"])), stored["weights"])
        learned_from = str(stored["examples_sha256"])
    if learned_from != _digest():
        raise BadInput(f"{HEAD.name} was not learned from this {EXAMPLES.name}; {_REMEDY}")
    return head


def write_head(encoder: TextEncoder, path: Path = HEAD) -> None:
    """Learns from EXAMPLES and writes what `shipped_head` reads."""
    head = fit_head(examples(), encoder)
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, names=np.array(head.names), weights=head.weights, examples_sha256=_digest()
    )
    write_atomically(path, buffer.getvalue())


def _listed() -> Mapping[str, Mapping[str, Mapping[str, list[str]]]]:
    listed: Mapping[str, Mapping[str, Mapping[str, list[str]]]]
    listed = yaml.safe_load(EXAMPLES.read_text(encoding="utf-8"))
    return listed


def _digest() -> str:
    return hashlib.sha256(EXAMPLES.read_bytes()).hexdigest()


def main() -> int:
    """Writes the head again, with the encoder of the catalogue."""
    from data_contracts.config import load_settings
    from pipelines.assets import asset_file

    settings = load_settings()
    write_head(OnnxEncoder(asset_file(ENCODER, settings.data, settings.cache)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
