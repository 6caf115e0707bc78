"""ModelInfer's messages say the same as V2's JSON, typed or raw."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.verdicts import Stage, Verdict
from serving.cascade import Decision
from serving.infer_messages import as_json, fill_answer
from serving.predictor import messages
from serving.requests import BadRequest, InferRequest, infer_request

EVENT = b'{"event_id": "e1", "text": "hello"}'


def request(elements: list[bytes], *, raw: bool = False, **fields: Any) -> Any:
    made = messages.ModelInferRequest(model_name="spam", **fields)
    tensor = made.inputs.add(name="event", datatype="BYTES", shape=[len(elements)])
    if raw:
        made.raw_input_contents.append(packed(elements))
    else:
        tensor.contents.bytes_contents.extend(elements)
    return made


def packed(elements: list[bytes]) -> bytes:
    return b"".join(len(one).to_bytes(4, "little") + one for one in elements)


def test_a_message_becomes_what_the_json_would_be() -> None:
    message = request([EVENT], id="r1")
    message.outputs.add(name="score")
    found = infer_request(as_json(message), 256)
    assert [one.event_id for one in found.events] == ["e1"]
    assert (found.request_id, found.outputs) == ("r1", ("score",))


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_raw_elements_are_the_typed_ones(elements: list[bytes]) -> None:
    if elements:  # no raw bytes at all is a message without raw_input_contents
        assert as_json(request(elements, raw=True)) == as_json(request(elements))


@pytest.mark.parametrize("raw", [b"\x05\x00\x00\x00hi", b"\x01", packed([b"a"]) + b"\x01\x00"])
def test_raw_elements_that_end_early_are_refused(raw: bytes) -> None:
    message = request([])
    message.raw_input_contents.append(raw)
    message.inputs[0].ClearField("contents")
    with pytest.raises(BadRequest, match=r"raw_input_contents\[0\] ends within element"):
        as_json(message)


def test_contents_in_two_places_and_raw_entries_without_input_are_refused() -> None:
    both = request([EVENT])
    both.raw_input_contents.append(packed([EVENT]))
    with pytest.raises(BadRequest, match="contents beside raw_input_contents"):
        as_json(both)
    more = request([EVENT], raw=True)
    more.raw_input_contents.append(b"")
    with pytest.raises(BadRequest, match="2 entries for 1 inputs"):
        as_json(more)


def test_text_that_is_no_utf_8_is_refused_without_being_shown() -> None:
    with pytest.raises(BadRequest, match=r"inputs\[0\]\.data\[0\]: line = '9 bytes': not JSON"):
        infer_request(as_json(request([b"\xffabcdefgh"])), 256)


def test_the_answer_has_the_outputs_asked_for_in_that_order() -> None:
    verdict = Verdict("e1", 0.25, "allow", (), (Stage("a", ran=True),), "7", "t")
    answer = messages.ModelInferResponse(id="r1")
    asked = InferRequest((), "r1", ("action", "score"))
    fill_answer(answer, asked, Decision((verdict,), 1.0), "spam", "7")
    assert [one.name for one in answer.outputs] == ["action", "score"]
    assert list(answer.outputs[0].contents.bytes_contents) == [b"allow"]
    assert list(answer.outputs[1].contents.fp64_contents) == [0.25]
    assert [list(one.shape) for one in answer.outputs] == [[1], [1]]
    assert (answer.model_name, answer.model_version, answer.id) == ("spam", "7", "r1")
