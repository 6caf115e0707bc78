"""One canonical form of a text: without markup, invisible characters and look-alike letters.

Unicode Standard Annex 15 (NFKC) and Unicode Technical Standard 39 (confusables, a subset).
"""

from __future__ import annotations

import html
import re
import unicodedata

import numpy as np

from pipelines.features.text.characters import (
    BLANK,
    Kinds,
    Points,
    kinds_of_all,
    points,
    text_of,
)
from pipelines.features.text.markup import markup
from pipelines.kernels import kernel

MAX_CHARACTERS = 20_000
CANONICAL_CHARACTERS = 6_000
MOST_MARKS = 30

_HIDDEN = re.compile(r"<(?:(?P<style>style)\b|(?P<script>script)\b|(?P<comment>!--))", re.I)
_END_OF = {
    "style": re.compile(r"</style\s*>", re.I),
    "script": re.compile(r"</script\s*>", re.I),
    "comment": re.compile("-->"),
}
_TAB, _NEWLINE, _RETURN, _SPACE = map(ord, "\t\n\r ")
_ASCII_BLANKS = "\t\r\f\v"
_BLANKS = _ASCII_BLANKS + "\xa0\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_SEVERAL_BLANKS = re.compile(" {2,}")
INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]"
)
# Selectors and overlays on a letter: it looks the same, or struck through, and still reads.
_SILENT = re.compile(f"[{INVISIBLE.pattern[1:-1]}\ufe00-\ufe0f\u0335-\u0338]")
_MANY_SIGNS = re.compile(rf"[^\w\0-\x7f][^\w\0-\x7f]{{{MOST_MARKS},}}")
_LATIN = re.compile(r"[A-Za-z]")

# Cyrillic, Greek and Armenian letters by the Latin letter that they look like.
_LOOKALIKES = {
    "a": "аα", "b": "ЬƄ", "c": "сϲ", "d": "ԁ", "e": "еєҽ", "g": "ɡ", "h": "һ", "i": "іι", "j": "јϳ",
    "k": "κк", "l": "ӏⅼ", "m": "м", "n": "ոη", "o": "оοօ", "p": "рρ", "q": "ԛ", "r": "г", "s": "ѕ",
    "t": "тτ", "u": "υս", "v": "νѵ", "w": "ԝѡω", "x": "хχ", "y": "уγ",
    "A": "АΑ", "B": "ВΒ", "C": "СϹ", "E": "ЕΕ", "H": "НΗ", "I": "ІΙӀ", "J": "Ј", "K": "КΚ",
    "M": "МΜ", "N": "Ν", "O": "ОΟ", "P": "РΡ", "S": "Ѕ", "T": "ТΤ", "V": "Ѵ", "W": "Ԝ",
    "X": "ХΧ", "Y": "ҮΥУ", "Z": "Ζ",
}  # fmt: skip
_TO_LATIN = str.maketrans(
    {lookalike: latin for latin, row in _LOOKALIKES.items() for lookalike in row}
)
LOOKALIKE = re.compile("[" + "".join(chr(code) for code in _TO_LATIN) + "]")
# Small capitals, which NFKC keeps and no language writes words in.
_SMALL_CAPITALS = str.maketrans("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnoprstuvwyz")
# Of the Basic Multilingual Plane alone: with a sign beyond, the search takes fifteen times as long.
_UNUSUAL = re.compile(
    f"[{_SILENT.pattern[1:-1]}{LOOKALIKE.pattern[1:-1]}{''.join(map(chr, _SMALL_CAPITALS))}]"
)


def strip_markup(text: str) -> str:
    """The text that a reader sees: tags, styles and comments removed, entities resolved.

    >>> strip_markup("<b>Win</b> &pound;100")
    ' Win £100'
    """
    return _single_blanks(_seen(text))


def fold(text: str) -> str:
    """NFKC without invisible characters; look-alike letters as Latin ones in Latin texts.

    A text with more look-alikes than Latin letters is left in its script: it is Russian or Greek.
    Small capitals are Latin in any text.

    >>> fold("fr\\u0435\\u200be")
    'free'
    """
    if text.isascii():
        return text
    if _UNUSUAL.search(text):
        text = _SILENT.sub("", text).translate(_SMALL_CAPITALS)
        lookalikes = len(LOOKALIKE.findall(text))
        if lookalikes and len(_LATIN.findall(text)) >= lookalikes:
            text = text.translate(_TO_LATIN)  # first: NFKC makes other letters of some of them
    if unicodedata.is_normalized("NFKC", text):
        return text
    return unicodedata.normalize("NFKC", _MANY_SIGNS.sub(_fewer_marks, text))


def _fewer_marks(signs: re.Match[str]) -> str:
    """At most MOST_MARKS combining marks in a row: NFKC sorts a row in quadratic time.

    The bound is that of the Stream-Safe Text Format, Unicode Standard Annex 15, section 13.
    """
    kept, row = [], 0
    for sign in signs.group():
        row = row + 1 if unicodedata.combining(sign) else 0
        if row <= MOST_MARKS:
            kept.append(sign)
    return "".join(kept)


def readable(text: str) -> str:
    """Markup stripped, folded, blanks and lines single, cut at CANONICAL_CHARACTERS."""
    plain = _seen(text)
    if not plain.isascii():  # blanks first: NFKC then finds most texts normal already
        plain = fold(_with_plain_blanks(plain))
    return text_of(_tidy(points(plain), kinds_of_all()))


@kernel("uint8[::1](uint8[::1], uint8[::1])", "uint32[::1](uint32[::1], uint8[::1])")
def _tidy(text: Points, kinds_of: Kinds) -> Points:
    """Lines without blanks around them, none empty, and one blank for several."""
    tidy = np.empty_like(text)
    kept, solid, is_before_line = 0, 0, True  # what is solid ends with no blank
    last = _NEWLINE
    for at in range(len(text)):
        point = text[at]
        if point == _NEWLINE:
            kept, is_before_line = solid, True
            continue
        is_blank = kinds_of[min(point, len(kinds_of) - 1)] == BLANK
        if is_before_line:
            if is_blank:
                continue
            tidy[kept] = _NEWLINE
            kept, is_before_line, last = kept + (kept > 0), False, _NEWLINE
        point = _SPACE if _TAB <= point <= _RETURN else int(point)
        tidy[kept] = point
        kept += (point != _SPACE) | (last != _SPACE)
        last = point
        solid = solid if is_blank else kept
        if solid >= CANONICAL_CHARACTERS:
            break
    return tidy[: min(solid, CANONICAL_CHARACTERS)]


def _seen(text: str) -> str:
    text = text[:MAX_CHARACTERS]
    if "<" in text:
        text = _without_markup(text)
    return html.unescape(text) if "&" in text else text


def _without_markup(text: str) -> str:
    found = markup(text)
    if not found.tags or (shown := _without_hidden(text)) is text:
        return found.plain
    return markup(shown).plain


def _without_hidden(text: str) -> str:
    """A blank for each style, script and comment; what is never closed is sought once and stays."""
    parts, done, unclosed = [], 0, set()
    for opening in _HIDDEN.finditer(text):
        kind = str(opening.lastgroup)
        if opening.start() < done or kind in unclosed:
            continue
        if end := _END_OF[kind].search(text, opening.end()):
            parts.append(text[done : opening.start()])
            done = end.end()
        else:
            unclosed.add(kind)
    return " ".join([*parts, text[done:]]) if parts else text


def _single_blanks(text: str) -> str:
    """Every run of blanks as one blank."""
    return _SEVERAL_BLANKS.sub(" ", _with_plain_blanks(text))


def _with_plain_blanks(text: str) -> str:
    for blank in _ASCII_BLANKS if text.isascii() else _BLANKS:
        text = text.replace(blank, " ")
    return text
