"""The door to NLTK: what WordNet says of English words, from the files of Debian's `wordnet-base`.

Miller 1995, "WordNet: A Lexical Database for English" (CACM 38).
"""

from __future__ import annotations

import io
import warnings
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path("/usr/share/wordnet")  # of Debian's and Ubuntu's package
REMEDY = "apt-get install wordnet-base"
USUAL_SHARE = 0.15
_LEXICOGRAPHERS_FILES = 45  # lexnames(5WN)


def why_absent() -> str | None:
    """Why no synonym is known here, with the remedy; None where WordNet is installed."""
    if (FOLDER / "data.noun").is_file():
        return None
    return f"no WordNet in {FOLDER}; {REMEDY}"


@cache
def synonyms(word: str) -> tuple[str, ...]:
    """Other single words for the usual senses of an English word in lower case.

    Usual is a sense with USUAL_SHARE of the word's tags in SemCor, or the first one where none is
    tagged. Empty without WordNet, for inflected forms, whose synonyms would need inflecting, and
    where those senses have no other word.
    """
    if why_absent():
        return ()
    lemmas = [lemma for lemma in _wordnet().lemmas(word) if lemma.name().lower() == word]
    if not lemmas:
        return ()
    tags = [lemma.count() for lemma in lemmas]
    fewest = max(USUAL_SHARE * sum(tags), 1)
    usual = [lemma for lemma, count in zip(lemmas, tags, strict=True) if count >= fewest]
    names = [name for lemma in usual or lemmas[:1] for name in lemma.synset().lemma_names()]
    plain = (name for name in names if name.isalpha() and name.islower() and name != word)
    return tuple(dict.fromkeys(plain))


@cache
def _wordnet() -> Any:
    """The reader; 6 s of processor time, most of it the import of NLTK."""
    import nltk.data
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    class DebianWordNet(WordNetCorpusReader):  # type: ignore[misc]
        """Without what the package leaves out, and synonyms do not need."""

        def open(self, file: str) -> Any:
            if file != "lexnames":
                return super().open(file)
            numbers = range(_LEXICOGRAPHERS_FILES)
            return io.StringIO("".join(f"{number:02d} {number:02d} 0\n" for number in numbers))

        def map_wn(self, version: str = "wordnet") -> None:
            """Other versions' numbers of the senses, by which other languages refer to them."""

    if str(FOLDER) not in nltk.data.path:
        nltk.data.path.append(str(FOLDER))  # NLTK reads from folders that are named there
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The multilingual functions")
        return DebianWordNet(str(FOLDER), None)
