"""What a text refers to, by hand; and no text, however made, that takes long to read."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.features.text.entities import (
    MAX_CHARACTERS,
    entities_of,
    is_shortener,
    messenger_of,
    regions_for,
)
from pipelines.features.text.links import MAX_LINKS, entropy, refanged


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("see http://a.example/x?y=1 or www.b.example", ["a.example", "www.b.example"]),
        ("go to win-cash.top/claim", ["win-cash.top"]),
        ("hxxps://bad[.]example/x and evil[dot]com", ["bad.example", "evil.com"]),
        ("加微信www.abc.com看片", ["www.abc.com"]),
        ("ｗｗｗ．ｂａｄ．ｔｏｐ", ["www.bad.top"]),
        ("ba\u200bd.com", ["bad.com"]),
        ("see you tomorrow.so later.is fine", []),
        ("version 1.2.3 of e.g. this", []),
        ("mail john.doe@mail.example.com", []),
        ('<a href="http://shop.example.com/now">our shop</a>', ["shop.example.com"]),
        ("http://user:secret@192.168.0.1:8080/x", ["192.168.0.1"]),
    ],
)
def test_links_are_those_that_a_reader_would_follow(text: str, hosts: list[str]) -> None:
    assert [link.host for link in entities_of(text).links] == hosts


def test_a_host_is_divided_by_the_public_suffix_list() -> None:
    (link,) = entities_of("https://login.my-bank.co.uk/a").links
    assert link.domain == ("login", "my-bank", "co.uk")
    assert link.domain.registered == "my-bank.co.uk"


def test_hosts_that_hide_something_are_told() -> None:
    user, number, coded, spelled = entities_of(
        "http://bank.com@evil.com:81/x http://3232235777/a http://xn--80ak6aa92e.com/ раypal.com/a"
    ).links
    assert (user.host, user.has_user, user.has_port) == ("evil.com", True, True)
    assert number.is_address
    assert coded.is_international
    assert spelled.is_international
    assert not user.is_address


def test_paths_tell_downloads_and_redirects() -> None:
    download, redirect = entities_of("http://a.com/x.apk?v=2 http://a.com/go?u=https://b.com").links
    assert (download.is_download, download.is_redirect) == (True, False)
    assert (redirect.is_download, redirect.is_redirect) == (False, True)


def test_shorteners_and_invitations_are_known_by_name() -> None:
    short, telegram, group, other = entities_of(
        "bit.ly/abc t.me/joinchat/1 https://chat.whatsapp.com/xyz https://discord.com/blog"
    ).links
    assert [is_shortener(link) for link in (short, telegram)] == [True, False]
    assert [messenger_of(link) for link in (telegram, group, other)] == [
        "telegram", "whatsapp", None,
    ]  # fmt: skip


def test_defanged_signs_are_counted() -> None:
    assert refanged("hxxp://a[.]b(dot)com") == ("http://a.b.com", 3)
    assert entities_of("hxxp://a[.]com").defanged == 2
    assert entities_of("see note [.] below").defanged == 0


@pytest.mark.parametrize(
    ("text", "regions", "phones"),
    [
        ("call 09061701461 now", ["GB"], [("GB", "premium_rate")]),
        ("Ruf +49 30 901820 an", [], [("DE", "fixed_line")]),
        ("电话13812345678加我", ["CN"], [("CN", "mobile")]),
        ("ring 0800 1111 111", ["GB"], [("GB", "toll_free")]),
        ("order 1234567 of 2026-01-02", ["GB"], []),
        ("call 09061701461 now", [], []),
    ],
)
def test_phones_are_those_valid_where_the_event_is_from(
    text: str, regions: list[str], phones: list[tuple[str, str]]
) -> None:
    assert list(entities_of(text, regions).phones) == phones


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("win £1,000.50 now", [1000.5]),
        ("100 euro or 5 k USD", [100.0, 5000.0]),
        ("只要50万元", [500_000.0]),
        ("1.500 TL", [1500.0]),
        ("$2 million", [2_000_000.0]),
        ("room 42", []),
    ],
)
def test_amounts_of_money_have_a_value(text: str, values: list[float]) -> None:
    assert [amount.value for amount in entities_of(text).amounts] == values


def test_mail_handles_tags_and_messengers_are_counted() -> None:
    found = entities_of("write a.b@mail.example or @bob, #win #now, WhatsApp or 微信")
    assert (found.emails, found.handles, found.hashtags, found.messengers) == (1, 1, 2, 2)


def test_regions_are_the_country_first_and_then_those_of_the_language() -> None:
    assert regions_for("fr", "en") == ("FR", "GB", "US")
    assert regions_for(None, "tr-TR") == ("TR",)
    assert regions_for(7, None) == ()


def test_the_entropy_of_a_name_is_in_bits() -> None:
    assert entropy("aaaa") == 0.0
    assert entropy("abcd") == 2.0
    assert entropy("") == 0.0


@pytest.mark.parametrize(
    "unit",
    [
        "a", "a.", "www.", "1", "1 ", "a@", "@a ", "http://a.b ", "a/", "$1,", "(", "+1 (", "a-",
        "加", "\u0315\u0300", "\ufdfa", "bc1", "1A", "<a ", "<!--", "&#x41;", "[dot]", "0x",
        "08001234567 ", "1 k", "xn--", "#ab", "ab.cd ",
    ],
)  # fmt: skip
def test_no_text_takes_long(unit: str) -> None:
    text = (unit * MAX_CHARACTERS)[:MAX_CHARACTERS]
    began = time.process_time()
    found = entities_of(text, ["GB", "US", "SG"])
    assert time.process_time() - began < 2.0  # some 30 ms; a quadratic pattern takes minutes
    assert len(found.links) <= MAX_LINKS


@given(st.text(max_size=200))
@settings(max_examples=60, deadline=None)
def test_any_text_can_be_read(text: str) -> None:
    entities_of(text, ["GB"])
