"""The gateway's script on bodies as clients write them: media never pass for text.

It runs in LuaJIT, as in Envoy; `tests/integration/test_content_routing.py` runs it in Envoy.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lupa import luajit21

from serving.requests import parse_infer, parse_predict
from serving.rollout.targets.envoy_listener import CONTENT_SCRIPT

V1, V2 = "/v1/models/spam:predict", "/v2/models/spam/infer"
DIGEST = "ab" * 32
IMAGE = {"kind": "image", "sha256": DIGEST, "bytes": "/9j/AAAA"}
KEY = "0123456789abcdef"

HARNESS = b"""
return function(path, stated, body, key)
  local headers = { [":path"] = path, ["x-weir-priority"] = stated }
  local fresh = {} -- as in Envoy, a view of the headers is stale once the script waited
  local view = { __index = {} }
  function view.__index:get(name) assert(self.of == fresh); return headers[name] end
  function view.__index:replace(name, value) assert(self.of == fresh); headers[name] = value end
  local buffer = {}
  function buffer:length() return #body end
  function buffer:getBytes(from, length) return body:sub(from + 1, from + length) end
  local request = {}
  function request:headers() return setmetatable({ of = fresh }, view) end
  function request:body() fresh = {}; return body ~= "" and buffer or nil end
  local context = {}
  function context:get(name) return name == "affinity_key" and key or nil end
  function request:filterContext() return context end
  envoy_on_request(request)
  return headers["x-weir-content"], headers["x-weir-priority"], headers["x-weir-account"]
end
"""


def _script() -> tuple[Callable[..., Any], Callable[..., Any]]:
    runtime = luajit21.LuaRuntime(encoding=None)
    runtime.execute(CONTENT_SCRIPT.read_bytes())
    return runtime.execute(HARNESS), runtime.globals()[b"keyed_hash"]


RUN, KEYED_HASH = _script()


def read(body: str | bytes, path: str = V1, stated: str | None = None) -> dict[str, str | None]:
    """The headers that the script sets."""
    raw = body.encode() if isinstance(body, str) else body
    told = None if stated is None else stated.encode()
    names = ("content", "priority", "account")
    values = RUN(path.encode(), told, raw, KEY.encode())
    return {name: value and value.decode() for name, value in zip(names, values, strict=True)}


def event(**fields: object) -> dict[str, Any]:
    return {"event_id": "e1", "text": "hello", **fields}


def v1(*events: Mapping[str, Any], **style: Any) -> str:
    return json.dumps({"instances": events}, **style)


def v2(*events: Mapping[str, Any], inner: Mapping[str, Any] | None = None, **style: Any) -> str:
    data = [json.dumps(one, **(inner or {})) for one in events]
    tensor = {"name": "event", "shape": [len(data)], "datatype": "BYTES", "data": data}
    return json.dumps({"inputs": [tensor]}, **style)


def escaped(text: str) -> str:
    r"""Every character as an escape: legal JSON that no serialiser writes.

    >>> escaped("m")
    '\\u006d'
    """
    return "".join(f"\\u{ord(letter):04x}" for letter in text)


MEDIA = event(media=[IMAGE])
HIDDEN = json.dumps(MEDIA).replace("media", escaped("media"))

CARRIES_MEDIA = {
    "plain": (V1, v1(MEDIA)),
    "compact": (V1, v1(MEDIA, separators=(",", ":"))),
    "indented": (V1, v1(MEDIA, indent=4)),
    "tabs and returns": (V1, v1(MEDIA).replace('"media": [', '"media"\t\r\n :\n\t[ \r\n')),
    "a mixed batch": (V1, v1(event(), event(media=[]), MEDIA, event())),
    "an empty list, then a filled one": (V1, v1(MEDIA).replace('"media"', '"media": [], "media"')),
    "an escaped letter in the key": (V1, v1(MEDIA).replace("media", r"m\u0065dia")),
    "the whole key escaped": (V1, v1(MEDIA).replace("media", escaped("media"))),
    "escapes with capitals": (V1, v1(MEDIA).replace("media", r"\u006Dedia")),
    "in a string": (V2, v2(MEDIA)),
    "in an indented string": (V2, v2(MEDIA, inner={"indent": 2})),
    "in a string, blanks around the colon": (
        V2, v2(MEDIA, inner={"separators": (",", "\t\n:\r\n ")})),
    "in a string, mixed": (V2, v2(event(), MEDIA)),
    "in a string, key escaped inside": (V2, v2(MEDIA).replace("media", r"\\u006dedia")),
    "in a string, key escaped outside": (V2, v2(MEDIA).replace("media", r"\u006dedia")),
    "in a string, the escape escaped": (V2, v2(MEDIA).replace("media", r"\u005cu006dedia")),
    "in a string, the u escaped": (V2, v2(MEDIA).replace("media", r"\\\u0075006dedia")),
    "in a string, a digit escaped": (V2, v2(MEDIA).replace("media", r"\\u00\u0036dedia")),
    "in a string, quotes as escapes": (V2, v2(MEDIA).replace(r"\"", r"\u0022")),
    "in a string, colons as escapes": (V2, v2(MEDIA).replace(r"\"media\":", r"\"media\"\u003a")),
    "in a string, the bracket as escape": (V2, v2(MEDIA).replace(r"[{\"", r"\u005b{\"")),
    "in a string, a blank as escape": (V2, v2(MEDIA).replace(r"media\":", r"media\"\u0020:")),
    "in a string, everything escaped": (
        V2, json.dumps({"inputs": [{"name": "event", "shape": [1], "datatype": "BYTES",
                                    "data": ["§"]}]}, ensure_ascii=False)
        .replace("§", escaped(HIDDEN))),
}  # fmt: skip

IS_TEXT = {
    "plain": (V1, v1(event())),
    "an empty list": (V1, v1(event(media=[]))),
    "an empty list with blanks": (V1, v1(event(media=[])).replace("[]}", "[ \n ]}")),
    "the word in a text": (V1, v1(event(text="social media, media: [1], 'media'"))),
    "the word alone": (V1, v1(event(text="media"))),
    "the word as the account": (V1, v1(event(account="media"))),
    "a key of the context": (V1, v1(event(context={"media": "tv", "media_count": 3}))),
    "a quoted word": (V1, v1(event(text='they say "media" and mean it'))),
    "another key that ends so": (V1, v1(event(context={"social_media": True}))),
    "letters of other languages, escaped": (V1, v1(event(text="é ü ß 你好 🎉 media"))),
    "signs escaped as some serialisers do": (
        V1, v1(event(text="§")).replace("§", r"\u003cb\u003e\u0026\u0027\u002b\u0022media\u0022")),
    "in a string": (V2, v2(event(text="the media lie"))),
    "in a string, an empty list": (V2, v2(event(media=[]), event(media=[], account="a"))),
    "in a string, quotes as escapes": (V2, v2(event(media=[])).replace(r"\"", r"\u0022")),
    "in a string, the word with quotes": (V2, v2(event(text='"media": [1]'))),
    "in a string, a key of the context": (V2, v2(event(context={"media": "tv"}))),
    "in a string, other languages": (V2, v2(event(text="é 你好 🎉"))),
}  # fmt: skip


@pytest.mark.parametrize("case", CARRIES_MEDIA)
def test_what_carries_media_is_called_media(case: str) -> None:
    path, body = CARRIES_MEDIA[case]
    events = parse_predict(body.encode(), 9) if path == V1 else parse_infer(body.encode(), 9).events
    assert any(one.media for one in events), "the case itself carries none"
    assert read(body, path)["content"] == "media"


@pytest.mark.parametrize("case", IS_TEXT)
def test_what_carries_none_is_called_text(case: str) -> None:
    path, body = IS_TEXT[case]
    events = parse_predict(body.encode(), 9) if path == V1 else parse_infer(body.encode(), 9).events
    assert not any(one.media for one in events)
    assert read(body, path)["content"] == "text"


def test_doubt_sends_text_to_the_media_pool_and_never_the_reverse() -> None:
    quoting = v1(event(text='their API takes "media": [1]'))
    assert read(quoting)["content"] == "media"
    assert read(v1(event(text='"media": 1, ' * 2000)))["content"] == "media"


WORDS = st.sampled_from(
    ["media", '"media"', '"media": [', "\\", '"', "\\u006d", "é", "[]", "🎉", ":"]
)
TEXTS = st.lists(WORDS | st.text(max_size=5), max_size=6).map("".join)
EVENTS = st.lists(
    st.fixed_dictionaries(
        {"event_id": st.just("e"), "text": TEXTS},
        optional={
            "media": st.lists(st.just(IMAGE), max_size=2),
            "account": TEXTS.filter(bool),
            "context": st.dictionaries(st.sampled_from(["media", "a", "account"]), TEXTS),
        },
    ),
    min_size=1,
    max_size=3,
)
STYLES = st.fixed_dictionaries(
    {
        "ensure_ascii": st.booleans(),
        "indent": st.sampled_from([None, 0, 2, "\t"]),
        "separators": st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:\r\n ")]),
    }
)


def disguised(body: str, rng: random.Random, share: float) -> str:
    """The same JSON with some letters and digits inside its strings written as escapes."""
    out, in_string, at = [], False, 0
    while at < len(body):
        here = body[at]
        if in_string and here == "\\":
            length = 6 if body[at + 1] == "u" else 2
            out.append(body[at : at + length])
            at += length
            continue
        in_string ^= here == '"'
        hides = in_string and here.isascii() and here.isalnum() and rng.random() < share
        out.append(escaped(here) if hides else here)
        at += 1
    return "".join(out)


@settings(deadline=None, max_examples=150)
@given(EVENTS, STYLES, STYLES, st.booleans(), st.sampled_from([0.0, 0.01, 0.3]), st.randoms())
def test_no_disguise_makes_text_of_media(
    events: list[dict[str, Any]], outer: dict[str, Any], inner: dict[str, Any], in_string: bool,
    share: float, rng: random.Random,
) -> None:  # fmt: skip
    if in_string:
        data = [disguised(json.dumps(one, **inner), rng, share) for one in events]
        body = json.dumps({"inputs": [{"name": "event", "data": data}]}, **outer)
    else:
        body = json.dumps({"instances": events}, **outer)
    body = disguised(body, rng, share)
    carried = json.loads(body)
    found = (
        [json.loads(one) for one in carried["inputs"][0]["data"]]
        if in_string
        else carried["instances"]
    )
    assert found == events  # the disguise changed nothing
    content = read(body, V2 if in_string else V1)["content"]
    if any(one.get("media") for one in events):
        assert content == "media"


def test_the_hash_is_half_sip_hash_as_published() -> None:
    key = bytes(range(8)).hex().encode()
    published = {0: "a9359f5b", 1: "27475ab8", 2: "fa62a603"}  # vectors_hsip32 of the reference
    for length, digest in published.items():
        value = cast(float, KEYED_HASH(bytes(range(length)), key))
        assert int(value).to_bytes(4, "little").hex() == digest


@pytest.mark.parametrize("account", ["user-7", "Zoë", "家", "a\\b", 'say "hi"', "🎉", "tab\tted"])
def test_an_account_has_one_hash_however_it_is_written(account: str) -> None:
    one = event(account=account)
    expected = str(int(KEYED_HASH(account.encode(), KEY.encode())))
    raw = {"ensure_ascii": False}
    bodies = [(V1, v1(one)), (V1, v1(one, ensure_ascii=False, indent=1)), (V2, v2(one)),
              (V2, v2(one, inner=raw)), (V2, v2(one, inner=raw, **raw)),
              (V2, v2(one).replace(r"\"", r"\u0022"))]  # fmt: skip
    assert {read(body, path)["account"] for path, body in bodies} == {expected}


def test_a_text_cannot_speak_for_an_account() -> None:
    forged = event(text='"account": "somebody"', account="me")
    expected = str(int(KEYED_HASH(b"me", KEY.encode())))
    assert read(v1(forged))["account"] == expected
    assert read(v2(forged), V2)["account"] == expected


def test_without_an_account_there_is_no_hash() -> None:
    assert read(v1(event(text="account", context={"account_created_at": "x"})))["account"] is None


def test_the_first_account_of_a_batch_decides() -> None:
    batch = event(), event(account="first"), event(account="second")
    assert read(v1(*batch))["account"] == str(int(KEYED_HASH(b"first", KEY.encode())))


@pytest.mark.parametrize(
    ("path", "body", "stated", "priority"),
    [
        (V1, v1(event()), None, "interactive"),
        (V2, v2(event(text='"text": "text"')), None, "interactive"),
        (V1, v1(event(), event()), None, "normal"),
        (V2, v2(event(), event()), None, "normal"),
        (V1, v1(event(), event()), "interactive", "interactive"),
        (V1, v1(event()), "bulk", "bulk"),
        (V1, v1(event()), "shadow", "unknown"),
        (V1, v1(event()), "Bulk!", "unknown"),
        (V2, '{"parameters": {"priority": "bulk"}, ' + v2(event())[1:], None, "bulk"),
        (V2, '{"parameters": {"priority": "bulk"}, ' + v2(event())[1:], "normal", "normal"),
        (V2, '{"parameters": {"priority": "now"}, ' + v2(event())[1:], None, "unknown"),
        (V2, v2(event(text='"priority": "bulk"')), None, "interactive"),
        (V1, "", None, "interactive"),
        (V1, "[not json", None, "interactive"),
    ],
)
def test_the_class_is_what_was_stated_or_one_event_is_waited_for(
    path: str, body: str, stated: str | None, priority: str
) -> None:
    assert read(body, path, stated)["priority"] == priority


def test_other_requests_are_left_alone() -> None:
    assert read(v1(MEDIA), "/v2/models/spam/ready") == dict.fromkeys(
        ("content", "priority", "account")
    )
