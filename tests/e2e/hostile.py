"""What every answer must be like, whatever was asked: no 5xx, in one of the known shapes, with nothing leaked."""

import json
import re
from collections.abc import Mapping
from http.client import HTTPResponse
from io import BytesIO
from typing import Any, Final

LEAKS: Final = re.compile(
    rb"""
      arn:aws                                             # ARNs
    | Traceback | File\ \\?" | line\ \d+,\ in\ | \.py\b   # stack frames (JSON errors say "line 1, column 2")
    | site-packages | /opt/ | /var/task | /usr/lib | /home/ | /root/ | [A-Z]:\\\\Users
    | local-SessionsTable | SessionsTable | MessagesTable | AgentPoliciesTable | ApiKeysTable | sweep-record
    | botocore | boto3 | pydantic | ClientError | ResourceNotFound | ValidationException | ConditionalCheck
    | dynamodb | \bmoto\b | uvicorn | starlette | Python/
    | keyHash | requestHash | dueShard | tenantShard | purgeAt | cursor-key
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""Paths, ARNs, stack frames, names of tables and of their attributes, and what the service is made of."""

NOT_HTTP: Final = (400, b"Invalid HTTP request received.")
"""What the HTTP server itself answers, in plain text, to what is not HTTP at all."""

GATEWAYS: Final = {
    401: "Unauthorized",
    403: "Forbidden",
    413: "Request Too Long",
    431: "Request Header Fields Too Large",
}


class _Bytes:
    """A socket that has been read already."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, *_: Any, **__: Any) -> BytesIO:
        return BytesIO(self._data)


def parsed(data: bytes, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    """The first answer in what came over a socket."""
    response = HTTPResponse(_Bytes(data), method=method)  # type: ignore[arg-type]
    response.begin()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return response.status, headers, response.read()


def check(status: int, headers: Mapping[str, str], body: bytes, what: object, *, sent: bytes = b"") -> None:
    """Check one answer by the rules for every answer (docs/contract.md, Errors). What was `sent` may come back."""
    told = (what, status, body[:500])
    assert 200 <= status < 500, told
    leaks = [leak for leak in LEAKS.findall(body) if leak.lower() not in sent.lower()]
    assert not leaks, (leaks, *told)
    assert not LEAKS.search(repr(sorted(headers.items())).encode()), told
    if headers.get("content-type", "").startswith("text/plain"):
        assert status == NOT_HTTP[0], told
        assert body in {NOT_HTTP[1], b""}, told  # to a HEAD without a body
        return
    assert "apigw-requestid" in headers, told
    if not body:
        return
    assert headers["content-type"] == "application/json", told
    answer = json.loads(body)
    if answer.keys() == {"message"}:
        assert GATEWAYS[status] == answer["message"], told
        return
    assert headers["cache-control"] == "no-store", told
    assert headers["x-request-id"] == headers["apigw-requestid"], told
    if status >= 400:
        assert answer.keys() == {"success", "error"}, told
        assert answer["success"] is False, told
        assert {"code", "message", "timestamp"} <= answer["error"].keys(), told
