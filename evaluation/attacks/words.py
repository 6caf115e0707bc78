"""Attacks on words: ordinary ones put in, telling ones replaced.

There is no attack by paraphrase: what rewrites a message as a person would is a generative model,
and no library brings one that works offline. The twelve paraphrases among
`robust_sms_adversarial_pairs` stand for it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np

from data_contracts.events import Event
from evaluation.attacks.base import Family, with_text
from evaluation.attacks.ordinary_words import SENTENCES
from evaluation.attacks.wordnet import synonyms, why_absent
from pipelines.perturbations.base import HAN, WORD, check_rate, outside_links

MOST_SENTENCES = 6
ENGLISH, CHINESE = "en", "zh"
_ANY_HAN = re.compile(f"[{HAN}]")
# Words with a grammatical office, which WordNet takes for nouns and full verbs.
_OFFICES = re.compile(
    "have|will|does|were|been|being|just|more|most|less|over|back|well|even|much|many|like|such|"
    "here|then|than|when|with|from|that|this|your|they|them|what|some|only|very|also|into|need|"
    "please|might|must|shall|would|could|should|before|after",
    re.IGNORECASE,
)


class GoodWords:
    """Put sentences of ordinary chat before and after the message, `strength` of MOST_SENTENCES.

    Lowd & Meek 2005, "Good Word Attacks on Statistical Spam Filters" (CEAS). `sentences` by
    language: our own, or the ham of a corpus. A language without any gets the English ones.
    """

    name = "good_words"
    family: Family = "words"

    def __init__(self, sentences: Mapping[str, Sequence[str]] = SENTENCES) -> None:
        if not sentences.get(ENGLISH):
            raise ValueError("no sentences for 'en', which stand in for languages without any")
        self._sentences = sentences

    def applies_to(self, event: Event) -> bool:
        return bool(event.text.strip())

    def disguise(self, event: Event, strength: float, rng: np.random.Generator) -> Event:
        if not self.applies_to(event):
            return event
        known = ordinary_sentences(event, self._sentences)
        count = min(math.ceil(check_rate(strength) * MOST_SENTENCES), len(known))
        chosen = [known[int(place)] for place in rng.permutation(len(known))[:count]]
        before = int(rng.integers(count + 1))
        return with_text(event, " ".join([*chosen[:before], event.text, *chosen[before:]]))


class Synonyms:
    """Replace a `strength` share of the English words that WordNet has another word for.

    Ren et al. 2019, "Generating Natural Language Adversarial Examples through Probability Weighted
    Word Saliency" (ACL), without the model: which words, chance decides. English only. Where
    WordNet is not installed it applies to nothing, and `unavailable` says why.
    """

    name = "synonyms"
    family: Family = "words"

    @property
    def unavailable(self) -> str | None:
        """Why it applies to nothing on this machine, with the remedy."""
        return why_absent()

    def applies_to(self, event: Event) -> bool:
        if self.unavailable or _language(event) != ENGLISH:
            return False
        return self._replaced(event.text, 1.0, np.random.default_rng(0)) != event.text

    def disguise(self, event: Event, strength: float, rng: np.random.Generator) -> Event:
        if self.unavailable or _language(event) != ENGLISH:
            return event
        return with_text(event, self._replaced(event.text, check_rate(strength), rng))

    def _replaced(self, text: str, share: float, rng: np.random.Generator) -> str:
        def other(word: re.Match[str]) -> str:
            found = word.group()
            known = () if _OFFICES.fullmatch(found) else synonyms(found.lower())
            if not known or rng.random() >= share:
                return found
            return _in_case_of(found, known[int(rng.integers(len(known)))])

        return outside_links(text, lambda stretch: WORD.sub(other, stretch))


def ordinary_sentences(
    event: Event, sentences: Mapping[str, Sequence[str]] = SENTENCES
) -> Sequence[str]:
    """Those of the event's language, or the English ones."""
    return sentences.get(_language(event)) or sentences[ENGLISH]


def _in_case_of(word: str, other: str) -> str:
    """
    >>> _in_case_of("PRIZE", "award"), _in_case_of("Prize", "award")
    ('AWARD', 'Award')
    """
    if word.isupper():
        return other.upper()
    return other.capitalize() if word[0].isupper() else other


def _language(event: Event) -> str:
    """The primary subtag; a text with Chinese signs is Chinese, any other English, untold."""
    if event.language:
        return event.language.split("-")[0].lower()
    return CHINESE if _ANY_HAN.search(event.text) else ENGLISH
