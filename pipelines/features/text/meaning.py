"""What a text means: its language, what it refers to, its tone, and what it wants."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from math import log1p, nan
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from data_contracts.events import Event
from pipelines.features.base import Features
from pipelines.features.media.base import MediaReader
from pipelines.features.text.encoder import TextEncoder
from pipelines.features.text.entities import (
    Entities,
    Phone,
    entities_of,
    is_shortener,
    messenger_of,
    narrow,
    regions_for,
)
from pipelines.features.text.intent import ENCODER, intents, shipped_head
from pipelines.features.text.language import (
    UNKNOWN,
    Guess,
    agreement,
    language_of,
    mixed_words,
    scripts_of,
)
from pipelines.features.text.links import Link, entropy
from pipelines.features.text.names import names_in
from pipelines.features.text.normalisation import readable
from pipelines.features.text.remembered import encoder_at
from pipelines.features.text.sentiment import sentiment_of

_ASKED = 2_000  # characters of which scripts and mixed words are counted
_SURE = 0.5  # a model of names is not loaded for a language that is less likely

LANGUAGE_NAMES = (
    "language_probability", "language_agrees", "scripts", "main_script_share", "mixed_words",
)  # fmt: skip
LINK_COUNTS: Mapping[str, Callable[[Link], bool]] = {
    "links_found": lambda link: bool(link.host),
    "links_bare": lambda link: link.is_bare,
    "links_shortened": is_shortener,
    "links_to_messengers": lambda link: messenger_of(link) is not None,
    "links_to_addresses": lambda link: link.is_address,
    "links_international": lambda link: link.is_international,
    "links_mixed_script": lambda link: mixed_words(link.host) > 0,
    "links_with_user": lambda link: link.has_user,
    "links_with_port": lambda link: link.has_port,
    "links_redirecting": lambda link: link.is_redirect,
    "links_to_downloads": lambda link: link.is_download,
}
LINK_MAXIMA: Mapping[str, Callable[[Link], float]] = {
    "host_length": lambda link: len(link.host),
    "host_digits": lambda link: sum(map(str.isdigit, link.host)),
    "host_hyphens": lambda link: link.host.count("-"),
    "host_levels": lambda link: link.host.count("."),
    "name_entropy": lambda link: entropy(link.domain.name),
    "subdomain_length": lambda link: len(link.domain.subdomain),
    "suffix_length": lambda link: len(link.domain.suffix),
    "path_length_log": lambda link: log1p(len(link.path)),
    "path_depth": lambda link: link.path.count("/"),
    "path_dots": lambda link: link.path.count("."),
    "path_digits": lambda link: sum(map(str.isdigit, link.path)),
    "path_entropy": lambda link: entropy(link.path),
    "query_parameters": lambda link: link.path.count("="),
}
ENTITY_NAMES = (
    *LINK_COUNTS, *LINK_MAXIMA, "link_domains", "links_defanged", "addresses_of_mail",
    "phones_found", "phones_mobile", "phones_premium", "phones_free", "phones_abroad",
    "amounts_found", "largest_amount_log", "currencies", "wallets", "handles", "hashtags",
    "messengers", "people_named", "organisations_named", "places_named",
)  # fmt: skip
SENTIMENT_NAMES = ("sentiment_positive", "sentiment_negative", "sentiment_compound")
INTENT_NAMES = tuple(f"intent_{name}" for name in intents())
_BY_FAMILY = {
    "language": LANGUAGE_NAMES,
    "entities": ENTITY_NAMES,
    "sentiment": SENTIMENT_NAMES,
    "intent": INTENT_NAMES,
}


class Reading(NamedTuple):
    """One event's text as people read it, and its language: declared, or else as it seems."""

    event: Event
    readable: str
    guess: Guess
    language: str


class MeaningExtractor:
    """Columns of language, entities, sentiment and intent; no embedding, the text stage has it.

    The encoder is the process's own (`encoder_at`), which the text stage may share: a text is
    then encoded once.
    """

    assets: ClassVar[tuple[str, ...]] = (ENCODER,)
    names: ClassVar[tuple[str, ...]] = tuple(
        name for members in _BY_FAMILY.values() for name in members
    )
    families: ClassVar[Mapping[str, str]] = {
        name: family for family, members in _BY_FAMILY.items() for name in members
    }
    dimensions: ClassVar[int] = 0

    def __init__(
        self, files: Mapping[str, Path], media: MediaReader, encoder: TextEncoder | None = None
    ) -> None:
        self._files = files
        self._media = media
        self._given = encoder

    def is_present(self, event: Event) -> bool:
        return bool(event.text) and not event.text.isspace()

    def extract(self, event: Event) -> Features:
        reading = read(event)
        columns = [
            *language_columns(reading),
            *entity_columns(reading),
            *sentiment_columns(reading),
            *self.intent_columns(reading),
        ]
        return Features(np.array(columns, np.float32), np.zeros(0, np.float32))

    def intent_columns(self, reading: Reading) -> Sequence[float]:
        """The probability of each intent; NaN where there is no text to read."""
        if not reading.readable:
            return [nan] * len(INTENT_NAMES)
        probabilities = shipped_head().read(self._encoder.encode(reading.readable))
        return [float(probability) for probability in probabilities]

    @cached_property
    def _encoder(self) -> TextEncoder:
        return self._given or encoder_at(self._files[ENCODER])


def read(event: Event) -> Reading:
    """What the families share, worked out once."""
    plain = readable(event.text)
    guess = language_of(plain)
    declared = (event.language or "").partition("-")[0].lower()
    return Reading(event, plain, guess, declared or guess.tag)


def language_columns(reading: Reading) -> list[float]:
    written = narrow(reading.event.text[:_ASKED])
    scripts = scripts_of(written)
    main_share = max(scripts.values()) / sum(scripts.values()) if scripts else nan
    known = reading.guess.tag != UNKNOWN
    return [
        reading.guess.probability if known else nan,
        agreement(reading.guess, reading.event.language),
        len(scripts),
        main_share,
        mixed_words(written),
    ]


def entity_columns(reading: Reading) -> list[float]:
    regions = regions_for(reading.event.context.get("country"), reading.language)
    found = entities_of(reading.event.text, regions)
    is_sure = reading.guess.probability >= _SURE
    names = names_in(reading.readable, reading.guess.tag) if is_sure else None
    return [
        *(sum(map(counts, found.links)) for counts in LINK_COUNTS.values()),
        *(max(map(figure, found.links), default=nan) for figure in LINK_MAXIMA.values()),
        len({link.domain.registered or link.host for link in found.links}),
        found.defanged,
        found.emails,
        *_phone_columns(found.phones, regions),
        *_money_columns(found),
        found.handles,
        found.hashtags,
        found.messengers,
        *(names or (nan, nan, nan)),
    ]


def sentiment_columns(reading: Reading) -> Sequence[float]:
    return sentiment_of(reading.readable, reading.language) or (nan, nan, nan)


def _phone_columns(phones: Sequence[Phone], regions: Sequence[str]) -> list[float]:
    return [
        len(phones),
        sum("mobile" in phone.kind for phone in phones),
        sum(phone.kind in ("premium_rate", "shared_cost") for phone in phones),
        sum(phone.kind == "toll_free" for phone in phones),
        sum(phone.region not in regions for phone in phones) if regions else nan,
    ]


def _money_columns(found: Entities) -> list[float]:
    return [
        len(found.amounts),
        log1p(max((amount.value for amount in found.amounts), default=0.0)),
        len({amount.currency for amount in found.amounts}),
        len(found.wallets),
    ]
