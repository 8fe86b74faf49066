"""Bodies as they come over the wire: what is no JSON object, what is too large, and where bodies do not matter."""

import base64
import json
from typing import Any

import pytest

from tests.unit.world import AGENT, SESSION_ROUTES, USER, World, gateway_event

GOOD = json.dumps({"agentId": AGENT, "userId": USER})
LIMIT = 65_536

MALFORMED = {
    "empty": "",
    "blank": " \n\t ",
    "cut": GOOD[:-1],
    "two": GOOD + GOOD,
    "trailing comma": GOOD[:-1] + ",}",
    "single quotes": GOOD.replace('"', "'"),
    "a comment": "/* hello */" + GOOD,
    "a byte order mark": "\ufeff" + GOOD,
    "a bare control character": '{"agentId":"a\nb"}',
    "a lone surrogate": '{"agentId":"\ud800"}',
    "not json": "agentId=1&userId=2",
    "an array": f"[{GOOD}]",
    "a string": json.dumps(GOOD),
    "a number": "1",
    "true": "true",
    "null": "null",
    "nan": "NaN",
}
NOT_UTF8 = {
    "latin-1": '{"metadata":{"a":"é"}}'.encode("latin-1"),
    "utf-16": GOOD.encode("utf-16"),
    "a surrogate in utf-8": b'{"a":"\xed\xa0\x80"}',
    "an overlong slash": b'{"a":"\xc0\xaf"}',
    "cut": '{"a":"é"}'.encode()[:7],
    "no text at all": bytes(range(256)),
}


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_body_that_is_no_json_object_is_refused(world: World, raw: str) -> None:
    answer = world.post_raw(raw)
    assert answer.code == "VALIDATION_ERROR"
    assert answer.fields == ["body"]


@pytest.mark.parametrize("raw", NOT_UTF8.values(), ids=NOT_UTF8.keys())
def test_a_body_that_is_no_utf8_is_refused(world: World, raw: bytes) -> None:
    answer = world.post_raw(raw)
    assert answer.code == "VALIDATION_ERROR"
    assert answer.fields == ["body"]


@pytest.mark.parametrize("text", ["{}", "!!!!", "abc", "====", base64.b64encode(b"x").decode() + "é", "e 30="])
def test_a_body_marked_as_base64_that_is_none_is_refused(world: World, text: str) -> None:
    event = gateway_event("create-minimal", raw=text) | {"isBase64Encoded": True}
    answer = world.send(event)
    assert answer.code == "VALIDATION_ERROR"
    assert answer.fields == ["body"]


def test_a_body_in_base64_is_read_like_any_other(world: World) -> None:
    body = {"agentId": AGENT, "userId": USER, "metadata": {"grüße": "😀"}}
    answer = world.post_raw(json.dumps(body, ensure_ascii=False).encode())
    assert answer.status == 201
    assert answer.json["metadata"] == body["metadata"]


@pytest.mark.parametrize("as_bytes", [False, True])
def test_sixty_four_kilobytes_are_read_and_one_byte_more_is_not(world: World, as_bytes: bool) -> None:  # noqa: FBT001
    at_limit = GOOD + " " * (LIMIT - len(GOOD))
    for raw, status in ((at_limit, 201), (at_limit + " ", 413)):
        answer = world.post_raw(raw.encode() if as_bytes else raw)
        assert answer.status == status


def test_too_large_wins_over_malformed(world: World) -> None:
    assert world.post_raw("{" * (LIMIT + 1)).code == "PAYLOAD_TOO_LARGE"
    assert world.post_raw(b"\xff" * (LIMIT + 1)).code == "PAYLOAD_TOO_LARGE"


# --- where bodies are ignored

IGNORED: dict[str, Any] = {
    "malformed": "{",
    "empty": "",
    "huge": "x" * (LIMIT + 1),
    "no utf-8": b"\xff\xfe",
    "settings": '{"timeoutMinutes": 5}',
}


@pytest.mark.parametrize("route", ["get", "heartbeat", "renew", "delete"])
@pytest.mark.parametrize("raw", IGNORED.values(), ids=IGNORED.keys())
@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "nonsense"])
def test_the_bodies_of_other_routes_are_ignored_whatever_they_are(
    world: World, route: str, raw: str | bytes, content_type: str
) -> None:
    session = world.new()
    answer = SESSION_ROUTES[route](world, session["sessionId"], raw=raw, headers={"content-type": content_type})
    assert answer.status == 200
    if route != "delete":
        assert answer.json["timeoutConfig"] == session["timeoutConfig"]


# --- PATCH


BAD_PATCHES: dict[str, Any] = {
    "malformed": "{",
    "no object": "[]",
    "no utf-8": b"\xff",
    "too large": " " * (LIMIT + 1),
    "out of range": '{"timeoutMinutes": 1}',
}


@pytest.mark.parametrize("raw", BAD_PATCHES.values(), ids=BAD_PATCHES.keys())
def test_gone_and_expired_win_over_a_bad_patch(world: World, raw: str | bytes) -> None:
    session_id = world.new()["sessionId"]
    assert world.patch(session_id, raw=raw, tenant="globex").code == "SESSION_NOT_FOUND"
    assert world.patch("not-an-id", raw=raw).code == "SESSION_NOT_FOUND"
    world.clock.advance(minutes=30)
    assert world.patch(session_id, raw=raw).code == "SESSION_EXPIRED"
    world.delete(session_id)
    assert world.patch(session_id, raw=raw).code == "SESSION_NOT_FOUND"


def test_a_byte_order_mark_is_called_what_it_is(world: World) -> None:
    answer = world.post_raw("\ufeff" + GOOD)
    assert answer.fault("body")["message"] == "is not valid JSON: it begins with a byte order mark"
