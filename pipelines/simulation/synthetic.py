"""A seeded generator of messages in English and German, for machines without any dataset.

Spam and ham share most of their phrases and all of their links; a few in a hundred of each
carry one of the other's phrases too, and some spam hides letters. So the label can be learnt, but
not from any single word. Nothing measured on it says anything about real traffic.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from data_contracts.events import Event
from data_contracts.labels import LabelledEvent, LabelName

DATASET = "synthetic"
SPAM_SHARE = 0.35
OTHER_SIDE_SHARE = 0.04  # messages that also carry a phrase typical of the other label
CAMPAIGN_SHARE = 0.2  # spam that repeats an earlier one with small changes
ACCOUNTS = 100_000  # so many that only campaigns come from one account again and again
LEET = str.maketrans({"e": "3", "o": "0", "i": "1", "a": "4"})


@dataclass(frozen=True)
class Phrases:
    """What messages of one language are made of."""

    language: str
    subjects: tuple[str, ...]
    shared: tuple[str, ...]
    ham: tuple[str, ...]
    spam: tuple[str, ...]


ENGLISH = Phrases(
    "en",
    (
        "the train", "your parcel", "our meeting", "the concert", "my sister", "the landlord",
        "this weekend", "the new phone", "your account", "the garden", "that recipe",
        "the report", "the dentist", "your photo", "the football team", "the library",
        "our holiday", "the invoice",
    ),
    (
        "did you hear about {s}", "please look at {s} when you can", "here is the link to {s}",
        "only until Friday for {s}", "call me about {s} on {n}", "there is news about {s}",
        "you asked about {s} last week", "everything about {s} is on {u}",
        "do not forget {s} tomorrow", "we have changed {s} again", "quick question on {s}",
        "reply yes if {s} is fine",
    ),
    (
        "running late, sorry about {s}", "shall we talk over dinner about {s}",
        "thanks for helping with {s}", "mum says hello and asks about {s}",
        "I left the keys next to {s}", "can you bring milk and {s}",
        "that joke about {s} was great", "see you at six for {s}", "I will send my notes on {s}",
        "hope you feel better after {s}",
        "the children loved {s}", "my turn to pay for {s}",
    ),
    (
        "you have won {n} pounds with {s}", "claim your free prize for {s} now",
        "limited offer, save {n} percent on {s}", "guaranteed income from {s} at home",
        "verify {s} or it will be closed", "cheap loans without checks for {s}",
        "hot singles near {s} are waiting", "double your money with {s} today",
        "subscribe to my channel for {s}", "text WIN to {n} for {s}",
        "exclusive casino bonus with {s}", "lose {n} kilos thanks to {s}",
    ),
)  # fmt: skip
GERMAN = Phrases(
    "de",
    (
        "der Zug", "dein Paket", "unser Treffen", "das Konzert", "meine Schwester", "der Vermieter",
        "das Wochenende", "das neue Telefon", "dein Konto", "der Garten", "das Rezept",
        "der Bericht", "der Zahnarzt", "dein Foto", "die Mannschaft", "die Bibliothek",
        "unser Urlaub", "die Rechnung",
    ),
    (
        "hast du gehört: {s}", "schau bitte bei Gelegenheit: {s}", "hier ist der Link: {s}",
        "nur noch bis Freitag: {s}", "ruf mich an unter {n}, es geht um: {s}",
        "es gibt Neues: {s}", "du hattest letzte Woche gefragt: {s}", "alles Weitere auf {u}: {s}",
        "vergiss morgen nicht: {s}", "wir haben es wieder geändert: {s}", "kurze Frage: {s}",
        "antworte mit ja, wenn es passt: {s}",
    ),
    (
        "ich komme später, tut mir leid: {s}", "wollen wir beim Essen reden: {s}",
        "danke für deine Hilfe: {s}", "Mama grüßt und fragt: {s}", "der Schlüssel liegt dort: {s}",
        "bringst du Milch mit und noch etwas: {s}", "der Witz war großartig: {s}",
        "bis um sechs dann: {s}", "ich schicke dir meine Notizen: {s}",
        "hoffentlich geht es dir besser: {s}", "den Kindern hat es gefallen: {s}",
        "diesmal zahle ich: {s}",
    ),
    (
        "du hast {n} Euro gewonnen: {s}", "hol dir jetzt deinen Gratispreis: {s}",
        "begrenztes Angebot, spare {n} Prozent: {s}", "sicheres Einkommen von zu Hause: {s}",
        "bestätige sofort, sonst wird gesperrt: {s}", "Kredit ohne Prüfung: {s}",
        "heiße Singles in deiner Nähe: {s}", "verdopple heute dein Geld: {s}",
        "abonniere meinen Kanal: {s}", "sende GEWINN an {n}: {s}",
        "exklusiver Casino-Bonus: {s}", "verliere {n} Kilo im Schlaf: {s}",
    ),
)  # fmt: skip
LANGUAGES = (ENGLISH, GERMAN)
HOSTS = ("news.example", "shop.example", "photos.example", "link.example", "club.example")


def synthetic_events(count: int, seed: int) -> list[LabelledEvent]:
    """`count` labelled events, the same for the same seed; about a third is spam.

    >>> rows = synthetic_events(200, seed=1)
    >>> sorted({row.event.language for row in rows}), {row.dataset for row in rows}
    (['de', 'en'], {'synthetic'})
    """
    rng = np.random.default_rng(seed)
    campaigns: list[tuple[Phrases, str, str]] = []
    return [_event(number, seed, rng, campaigns) for number in range(count)]


def _event(
    number: int, seed: int, rng: np.random.Generator, campaigns: list[tuple[Phrases, str, str]]
) -> LabelledEvent:
    label: LabelName = "spam" if rng.random() < SPAM_SHARE else "ham"
    phrases = LANGUAGES[int(rng.integers(len(LANGUAGES)))]
    account = f"user-{int(rng.integers(ACCOUNTS))}"
    if label == "spam" and campaigns and rng.random() < CAMPAIGN_SHARE:
        phrases, text, account = campaigns[int(rng.integers(len(campaigns)))]
        text = f"{text} {int(rng.integers(100))}"
    else:
        text = _message(label, phrases, rng)
        if label == "spam":
            campaigns.append((phrases, text, account))
    event = Event(
        event_id=hashlib.sha256(f"{DATASET}-{seed}-{number}".encode()).hexdigest()[:16],
        text=text,
        account=account,
        language=phrases.language,
    )
    return LabelledEvent(event=event, label=label, dataset=DATASET)


def _message(label: LabelName, phrases: Phrases, rng: np.random.Generator) -> str:
    own, other = (phrases.spam, phrases.ham) if label == "spam" else (phrases.ham, phrases.spam)
    pools = [phrases.shared, phrases.shared, own]
    if rng.random() < OTHER_SIDE_SHARE:
        pools += [own, other]  # the own side still outweighs it: the label is no coin's toss
    if rng.random() < 0.3:
        pools.append(own)
    parts = [_phrase(pool, phrases, rng) for pool in pools]
    text = ". ".join(parts[at] for at in rng.permutation(len(parts)))
    if label == "spam" and rng.random() < 0.15:
        text = text.translate(LEET)
    return text


def _phrase(pool: tuple[str, ...], phrases: Phrases, rng: np.random.Generator) -> str:
    host = HOSTS[int(rng.integers(len(HOSTS)))]
    return pool[int(rng.integers(len(pool)))].format(
        s=phrases.subjects[int(rng.integers(len(phrases.subjects)))],
        n=int(rng.integers(10, 1000)),
        u=f"http://{host}/{rng.integers(10**6):x}",
    )
