"""Hand-written hostile requests over real sockets: no 5xx, no hang, the known shapes, nothing leaked, nothing done."""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.e2e.hostile import check, parsed
from tests.e2e.serving import BASE, Serving, serving

AGENT: Final = "b8504bc3-45f8-4a41-a00a-83df46d8555d"
USER: Final = "6c6f2d1e-0a3b-4f7d-9e58-1b2c3d4e5f60"
GOOD: Final = {"agentId": AGENT, "userId": USER}
DEFAULTS: Final = {"timeoutMinutes": 30, "autoRenew": True, "maxDurationMinutes": 720, "warningThresholdMinutes": 5}
NOWHERE: Final = "11111111-2222-4333-8444-555555555555"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("hostile")
    with serving(folder, auth=False) as running:
        yield running
        sessions = running.send("GET", f"{BASE}?limit=100").json["sessions"]
    log = (folder / "functions.log").read_text(encoding="utf-8")
    assert '"level":"ERROR"' not in log, next(line for line in log.splitlines() if '"level":"ERROR"' in line)
    assert all(session["agentId"] == AGENT for session in sessions)


@pytest.fixture(autouse=True)
def _still_serves(stack: Serving) -> Iterator[None]:
    """After every hostile request the server makes, reads and ends a session: what closed a connection lives on."""
    yield
    made = stack.send("POST", BASE, GOOD)
    assert made.status == 201
    path = f"{BASE}/{made.json['sessionId']}"
    assert stack.send("GET", path).json["sessionId"] == made.json["sessionId"]
    assert stack.send("DELETE", path).status == 200


def request(
    method: str = "POST", target: str = BASE, body: bytes = b"", *headers: bytes, length: int | None = None
) -> bytes:
    """A request as bytes, with `content-length` as it should be unless another is given."""
    lines = [
        f"{method} {target} HTTP/1.1".encode("latin-1"),
        b"host: 127.0.0.1",
        b"connection: close",
        f"content-length: {len(body) if length is None else length}".encode(),
        *headers,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def ask(stack: Serving, data: bytes, method: str = "POST") -> tuple[int, Any]:
    status, headers, body = parsed(stack.raw(data, close=False), method)
    check(status, headers, body, data[:200])
    return status, json.loads(body) if body[:1] == b"{" else body


JSON: Final = b"content-type: application/json"


def deep(opening: bytes, closing: bytes, levels: int) -> bytes:
    return opening * levels + b"1" + closing * levels


def with_metadata(value: bytes) -> bytes:
    return b'{"agentId":"%s","userId":"%s","metadata":%s}' % (AGENT.encode(), USER.encode(), value)


BODIES: Final[dict[str, bytes]] = {
    "NUL": b"\x00",
    "UTF-16": json.dumps(GOOD).encode("utf-16"),
    "lone surrogate": b'{"agentId":"\\ud800","userId":"\\udfff"}',
    "arrays in arrays": deep(b"[", b"]", 30_000),
    "deep and open": b"[" * 60_000,
    "deep in a field": b'{"agentId":' + deep(b"[", b"]", 20_000) + b"}",
    "deep enough metadata and one more": with_metadata(deep(b'{"a":', b"}", 101)),
    "a huge integer": b'{"timeoutConfig":{"timeoutMinutes":%s}}' % (b"9" * 60_000),
    "a huge integer in metadata": with_metadata(b'{"a":%s}' % (b"9" * 5_000)),
    "many names": b"{" + b",".join(b'"k%d":1' % number for number in range(6_000)) + b"}",
    "a long id": b'{"agentId":"%s","userId":"x"}' % (b"a" * 60_000),
    "prototypes": b'{"__proto__":{"agentId":"x"},"constructor":{"prototype":{}},"__class__":1,"__init__":2}',
    "operators": b'{"agentId":{"$ne":null},"userId":{"S":"x"},"timeoutConfig":{"$gt":""}}',
    "formats": b'{"agentId":"{0.__class__}","userId":"%s%n{rule}{message}"}',
    "one byte too many": b'{"agentId":"%s"}' % (b"a" * (65_537 - 14)),
    "a megabyte": b'{"agentId":"%s"}' % (b"a" * 1_000_000),
}


@pytest.mark.parametrize("target", [BASE, f"{BASE}/%s/timeout"])
@pytest.mark.parametrize("name", BODIES)
def test_a_hostile_body_is_refused_in_the_one_shape(stack: Serving, name: str, target: str) -> None:
    live = stack.send("POST", BASE, GOOD).json["sessionId"]
    method = "POST" if target == BASE else "PATCH"
    status, answer = ask(stack, request(method, target.replace("%s", live), BODIES[name], JSON), method)
    if method == "PATCH" and status == 200:  # it names no setting: unknown fields are ignored
        assert answer["timeoutConfig"] == DEFAULTS
    else:
        assert status in {400, 413}
        assert answer["error"]["code"] in {"VALIDATION_ERROR", "PAYLOAD_TOO_LARGE"}
        assert len(json.dumps(answer)) < 2_000, "what was sent is cut before it is repeated"
    stack.send("DELETE", f"{BASE}/{live}")


TARGETS: Final[dict[str, str]] = {
    "parent folders": f"{BASE}/../../../etc/passwd",
    "escaped slashes": f"{BASE}/..%2f..%2fetc%2fpasswd",
    "escaped twice": f"{BASE}/%252e%252e%252f",
    "overlong UTF-8": f"{BASE}/%c0%ae%c0%ae%c0%af",
    "NUL": f"{BASE}/{NOWHERE}%00",
    "new line": f"{BASE}/{NOWHERE}%0d%0aset-cookie:%20a=b",
    "half an escape": f"{BASE}/%",
    "raw Latin-1": f"{BASE}/\xff\xfe",
    "long id": f"{BASE}/{'a' * 5_000}",
    "many slashes": f"{BASE}{'/' * 2_000}",
    "service secret, escaped": f"{BASE}/%63ursor-key",
    "whole address": f"http://elsewhere.example{BASE}/{NOWHERE}",
    "query in the path": f"{BASE}%3Flimit=1",
    "long query": f"{BASE}?limit={'9' * 5_000}",
    "limit twice": f"{BASE}?limit=1&limit=2",
    "limit array": f"{BASE}?limit[]=1&limit[__proto__]=1",
    "cursor as JSON": f"{BASE}?cursor=eyJzZXNzaW9uSWQiOiJjdXJzb3Ita2V5In0=",
    "long cursor": f"{BASE}?cursor={'A' * 6_000}",
    "cursor lone surrogate": f"{BASE}?cursor=%ed%a0%80",
    "filters": f"{BASE}?userId=x'%20OR%201=1--&agentId=%00",
    "many parameters": f"{BASE}?" + "&".join(f"p{number}={number}" for number in range(1_000)),
}


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE", "HEAD"])
@pytest.mark.parametrize("name", TARGETS)
def test_a_hostile_address_finds_nothing(stack: Serving, name: str, method: str) -> None:
    status, answer = ask(stack, request(method, TARGETS[name], b"", JSON), method)
    assert status in {200, 400, 404, 405, 431}
    if status == 200:
        assert method in {"GET", "HEAD"}, "nothing was done"
        assert method == "HEAD" or answer.keys() >= {"sessions", "total"}


HEADERS: Final[dict[str, list[bytes]]] = {
    "a header twice": [b"idempotency-key: a", b"idempotency-key: b"],
    "key with control characters": [b"idempotency-key: a\x01b"],
    "key no ASCII": [b"idempotency-key: \xff\xfe"],
    "headers too large": [b"x-a: " + b"a" * 11_000],
    "many headers": [b"x-%d: 1" % number for number in range(1_000)],
    "forged request id": [b"x-request-id: forged", b"apigw-requestid: forged", b"x-amzn-requestid: forged"],
    "other method": [b"x-http-method-override: DELETE", b"x-method: DELETE"],
    "a range": [b"range: bytes=0-,0-,0-,0-"],
    "upgrade": [b"upgrade: h2c", b"http2-settings: AAMAAABkAAQAoAAAAAIAAAAA"],
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_hostile_header_changes_nothing_but_what_it_is_for(stack: Serving, name: str) -> None:
    body = json.dumps(GOOD).encode()
    for method, target in (("POST", BASE), ("GET", f"{BASE}/{NOWHERE}"), ("GET", BASE)):
        sent = body if method == "POST" else b""
        status, answer = ask(stack, request(method, target, sent, *HEADERS[name]), method)
        assert status in {200, 201, 400, 404, 431}
        assert "forged" not in json.dumps(answer, default=str)
        if status == 201:
            stack.send("DELETE", f"{BASE}/{answer['sessionId']}")


@pytest.mark.parametrize("sent", [0, 1, 40, 88])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_cut_short_makes_no_session(stack: Serving, sent: int, *, chunked: bool) -> None:
    """What is sent is all of a good request but for its announced end: it must not count as one."""
    before = {session["sessionId"] for session in stack.send("GET", f"{BASE}?limit=100").json["sessions"]}
    body = json.dumps(GOOD).encode()
    if chunked:
        head = request("POST", BASE, b"", JSON, b"transfer-encoding: chunked").replace(b"content-length: 0\r\n", b"")
        data = head + b"%x\r\n%s" % (len(body) + 10, body[:sent] if sent < 88 else body)
    else:
        data = request("POST", BASE, b"", JSON, length=len(body) + 10) + (body[:sent] if sent < 88 else body)
    answer = stack.raw(data)
    if answer:
        status, headers, content = parsed(answer)
        check(status, headers, content, sent)
        assert status >= 400
    after = {session["sessionId"] for session in stack.send("GET", f"{BASE}?limit=100").json["sessions"]}
    assert after == before
