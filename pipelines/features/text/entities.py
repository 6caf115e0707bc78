"""The one door to the entity parsers: links, numbers to call, money, wallets, handles.

Google's libphonenumber (phonenumbers), the public suffix list as bundled with tldextract, and
price-parser. Every pattern reads a text once, with bounded repeats; parsers see at most
MAX_CANDIDATES short strings of a kind. Nothing touches the network or writes a cache.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from pipelines.features.text.links import Domain, Link, links_in, refanged
from pipelines.features.text.normalisation import INVISIBLE, strip_markup
from pipelines.features.text.wallets import Wallet, wallets_in

MAX_CHARACTERS = 65_536
MAX_CANDIDATES = 10
MAX_REGIONS = 3
_FILE = Path(__file__).with_name("entities.yaml")
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[a-z]{2,24}\b", re.I)
_NUMBER = re.compile(r"(?<![a-z0-9_.,+])\+?\(?\d(?:[ ().\-/]{0,2}\d){6,14}(?![a-z0-9])", re.I)
_HANDLE = re.compile(r"(?<![\w@.])@[a-z_]\w{1,31}", re.I)
_HASHTAG = re.compile(r"(?<![\w#&])#\w{2,64}")
_SIGNS = "$£€₺¥₹₽₩₿₫₴₦฿"
_CODES = "usd|eur|gbp|try|tl|inr|rs|cny|rmb|jpy|chf|aud|cad|sgd|btc|eth|usdt|rub"
_UNITS = rf"(?:{_CODES}|dollars?|euros?|pounds?|quid|lira|rupees?|pesos?|rubles?|bitcoins?)\b"
_DIGITS = r"(?<![\d.,])\d[\d.,]{0,14}"
_SCALE = r"(?: ?(?:k|m|mio|million|millionen|millions|milyon|bin)\b|[万亿])?"
_AMOUNT = re.compile(
    rf"(?:[{_SIGNS}]|\b(?:{_CODES})\.?) ?{_DIGITS}{_SCALE}"
    rf"|{_DIGITS}{_SCALE} ?(?:[{_SIGNS}]|{_UNITS}|[元块円])",
    re.I,
)
_SCALES = {
    "k": 1e3, "bin": 1e3, "万": 1e4, "m": 1e6, "mio": 1e6, "million": 1e6, "millions": 1e6,
    "millionen": 1e6, "milyon": 1e6, "亿": 1e8,
}  # fmt: skip
_SCALE_WORD = re.compile(
    rf"\d ?({'|'.join(sorted(_SCALES, key=len, reverse=True))})(?![a-z])", re.I
)
_MOST = 1e12


class Phone(NamedTuple):
    """A valid number: `kind` as libphonenumber names it (`mobile`, `premium_rate`, …)."""

    region: str
    kind: str


class Amount(NamedTuple):
    """`value` in units of `currency`, a sign or code as written (empty where unknown)."""

    value: float
    currency: str


class Entities(NamedTuple):
    """What a text refers to. `defanged` counts signs of links that were made unclickable."""

    links: tuple[Link, ...]
    defanged: int
    emails: int
    phones: tuple[Phone, ...]
    amounts: tuple[Amount, ...]
    wallets: tuple[Wallet, ...]
    handles: int
    hashtags: int
    messengers: int


def entities_of(text: str, regions: Sequence[str] = ()) -> Entities:
    """The entities of a text; `regions` (ISO 3166) are where its numbers may be from.

    >>> found = entities_of("Call 0906 170 1461 or see bit.ly/x, win £1,000", ["GB"])
    >>> found.links[0].host, found.phones[0].kind, found.amounts[0].value
    ('bit.ly', 'premium_rate', 1000.0)
    """
    written, defanged = refanged(narrow(text[:MAX_CHARACTERS]))
    links, rest = links_in(written, divided, _is_ordinary)
    plain = strip_markup(rest) if "<" in rest else rest
    without_mail, emails = _EMAIL.subn(" ", plain) if "@" in plain else (plain, 0)
    return Entities(
        links,
        defanged if links else 0,
        emails,
        tuple(_phones(without_mail, regions)),
        tuple(_amounts(without_mail)),
        wallets_in(without_mail),
        len(_HANDLE.findall(without_mail)) if "@" in without_mail else 0,
        len(_HASHTAG.findall(without_mail)) if "#" in without_mail else 0,
        len(_messenger_pattern().findall(without_mail)),
    )


def narrow(text: str) -> str:
    """Each character in its compatibility form (NFKC), invisible ones left out.

    Character by character: composing whole texts takes quadratic time on stacked accents.

    >>> narrow("ｗｗｗ．ｂａｄ．ｔｏｐ")
    'www.bad.top'
    """
    if text.isascii():
        return text
    return INVISIBLE.sub("", text).translate(_Narrow.table)[:MAX_CHARACTERS]


def regions_for(country: object, language: str | None) -> tuple[str, ...]:
    """Where an event's numbers may be from: its country first, then its language's.

    >>> regions_for("AT", "de-AT")
    ('AT', 'DE', 'CH')
    """
    own = [country.upper()] if isinstance(country, str) and len(country) == 2 else []
    spoken = _known()["regions"].get((language or "").partition("-")[0].lower(), ())
    return tuple(dict.fromkeys([*own, *spoken]))[:MAX_REGIONS]


def divided(host: str) -> Domain:
    """Subdomain, name and public suffix of a host.

    >>> divided("login.shop.co.uk")
    Domain(subdomain='login', name='shop', suffix='co.uk')
    """
    found = _suffix_list().extract_str(host)
    return Domain(found.subdomain, found.domain, found.suffix)


def is_shortener(link: Link) -> bool:
    return link.host.removeprefix("www.") in _known()["shorteners"]


def messenger_of(link: Link) -> str | None:
    """The messenger that the link invites to, or None."""
    place = link.host.removeprefix("www.") + link.path
    invites: Mapping[str, Sequence[str]] = _known()["invites"]
    return next((name for name, starts in invites.items() if place.startswith(tuple(starts))), None)


class _Narrow(dict[int, str]):
    """The compatibility form by code point, worked out when first asked for."""

    table: _Narrow

    def __missing__(self, code: int) -> str:
        self[code] = form = unicodedata.normalize("NFKC", chr(code))
        return form


_Narrow.table = _Narrow()


def _phones(text: str, regions: Sequence[str]) -> Iterator[Phone]:
    for match in islice(_NUMBER.finditer(text), MAX_CANDIDATES):
        if phone := _phone(match.group(), regions):
            yield phone


def _phone(number: str, regions: Sequence[str]) -> Phone | None:
    """By the first region in which the number is valid; an international one needs none."""
    import phonenumbers

    for region in [None] if number.startswith("+") else regions:
        try:
            parsed = phonenumbers.parse(number, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(parsed):
            kind = phonenumbers.PhoneNumberType.to_string(phonenumbers.number_type(parsed))
            return Phone(phonenumbers.region_code_for_number(parsed) or "", kind.lower())
    return None


def _amounts(text: str) -> Iterator[Amount]:
    from price_parser import Price

    for match in islice(_AMOUNT.finditer(text), MAX_CANDIDATES):
        price = Price.fromstring(match.group())
        scale = _SCALE_WORD.search(match.group())
        value = (price.amount_float or 0.0) * (_SCALES[scale.group(1).lower()] if scale else 1.0)
        if value > 0 and isfinite(value):
            yield Amount(min(value, _MOST), price.currency or "")


def _is_ordinary(domain: Domain) -> bool:
    return domain.suffix in _known()["ordinary_suffixes"]


@cache
def _known() -> Mapping[str, Any]:
    known: dict[str, Any] = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    for name in ("shorteners", "ordinary_suffixes"):
        known[name] = frozenset(known[name])
    return known


@cache
def _messenger_pattern() -> re.Pattern[str]:
    known = _known()
    words, signs = (
        "|".join(map(re.escape, known[f"messenger_{kind}"])) for kind in ("words", "signs")
    )
    return re.compile(rf"\b(?:{words})\b|(?<![a-z])(?:{signs})(?![a-z])", re.I)


@cache
def _suffix_list() -> Any:
    from tldextract import TLDExtract

    return TLDExtract(cache_dir=None, suffix_list_urls=(), fallback_to_snapshot=True)
