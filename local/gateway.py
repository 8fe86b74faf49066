"""API Gateway's part: an HTTP request becomes the event of payload version 2.0, the function's answer a response.

What the gateway refuses by itself (limits, keys, a function that fails) is refused here in the same words. Knows HTTP
and the event, neither the sessions nor the server around it.
"""

import base64
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from agent_sessions.clock import Clock

API_ID: Final = "localstack0"
STAGE: Final = "$default"

BODY_LIMIT: Final = 10 * 1024 * 1024
HEADER_LIMIT: Final = 10_240
"""Bytes of the request line and all header values together."""
EVENT_LIMIT: Final = 6 * 1024 * 1024
"""What Lambda takes as an event, of which the body is nearly all."""

_TEXT: Final = frozenset({"application/json", "application/xml", "application/javascript"})
"""Content types, besides text/*, whose bodies are handed on as text. All others are handed on in base64, forms too."""

Function = Callable[[dict[str, Any]], Any]
Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class HttpRequest:
    """A request as it came over the wire: `path` and `query` still have their percent escapes."""

    method: str
    path: str
    query: str
    headers: Headers
    body: bytes
    client: str = "127.0.0.1"
    protocol: str = "HTTP/1.1"

    def header(self, name: str) -> str | None:
        """The first header of this name, which is given in lower case."""
        return next((value for key, value in self.headers if key.lower() == name), None)


@dataclass(frozen=True)
class HttpAnswer:
    """What goes back over the wire."""

    status: int
    headers: Headers
    body: bytes = b""


@dataclass(frozen=True)
class Cors:
    """The CORS settings of an HTTP API."""

    origins: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    max_age_seconds: int = 0

    @classmethod
    def from_properties(cls, properties: Mapping[str, Any] | None) -> "Cors":
        """Read the CorsConfiguration of the template."""
        found = properties or {}
        return cls(
            origins=tuple(found.get("AllowOrigins", ())),
            methods=tuple(found.get("AllowMethods", ())),
            headers=tuple(found.get("AllowHeaders", ())),
            exposed=tuple(found.get("ExposeHeaders", ())),
            max_age_seconds=int(found.get("MaxAge", 0)),
        )

    def of_answer(self, origin: str | None) -> Headers:
        """The headers that the gateway adds to any answer to a page of `origin`."""
        if origin is None or not ("*" in self.origins or origin in self.origins):
            return []
        allowed = ("access-control-allow-origin", "*" if "*" in self.origins else origin)
        return [allowed, ("access-control-expose-headers", ",".join(self.exposed))]

    def of_preflight(self, origin: str) -> Headers:
        """The headers of the answer to a preflight."""
        headers = self.of_answer(origin)
        if headers:
            headers += [
                ("access-control-allow-methods", ",".join(self.methods)),
                ("access-control-allow-headers", ",".join(self.headers)),
                ("access-control-max-age", str(self.max_age_seconds)),
            ]
        return headers


@dataclass(frozen=True)
class Route:
    """A route of the API: its key, whether it needs a key of the caller, and the parameter its path has."""

    key: str
    needs_key: bool = True
    path_parameters: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Authorizer:
    """The function that judges keys, where the key stands, and for how long its answer is remembered."""

    function: Function
    header: str
    remembered_ms: int


class Gateway:
    """One HTTP API with its functions behind it. Safe for any number of threads if the functions are."""

    def __init__(
        self,
        function: Function,
        *,
        clock: Clock,
        health_path: str,
        cors: Cors | None = None,
        authorizer: Authorizer | None = None,
        tenant_id: str = "local",
        on_failure: Callable[[BaseException], None] = lambda _: None,
        others: Mapping[str, Function] | None = None,
    ) -> None:
        """Without an authorizer every caller is `tenant_id`.

        `function` is behind the default route, and `others` behind the routes of these keys, which need a key.
        """
        self._function = function
        self._clock = clock
        self._health_path = health_path
        self._cors = cors or Cors()
        self._authorizer = authorizer
        self._tenant_id = tenant_id
        self._on_failure = on_failure
        self._remembered: dict[str, tuple[int, dict[str, Any]]] = {}
        self._others = [(key, _pattern(key), other) for key, other in (others or {}).items()]

    def answer(self, request: HttpRequest) -> HttpAnswer:
        """Answer one request."""
        request_id = _request_id()
        origin = request.header("origin")
        is_preflight = (
            request.method == "OPTIONS" and origin and request.header("access-control-request-method") is not None
        )
        if is_preflight and self._cors.origins:
            answer = HttpAnswer(HTTPStatus.NO_CONTENT, self._cors.of_preflight(origin or ""))
        else:
            answer = self._routed(request, request_id)
            own = [(name, value) for name, value in answer.headers if not name.startswith("access-control-")]
            answer = HttpAnswer(answer.status, own + self._cors.of_answer(origin), answer.body)
        return HttpAnswer(answer.status, [*answer.headers, ("apigw-requestid", request_id)], answer.body)

    def _routed(self, request: HttpRequest, request_id: str) -> HttpAnswer:
        if len(request.body) > BODY_LIMIT:
            return refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        request_line = f"{request.method} {request.path}?{request.query} {request.protocol}"
        if len(request_line) + sum(len(value) for _, value in request.headers) > HEADER_LIMIT:
            return refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        route, function = self._route(request)
        event = event_of(request, route, request_id=request_id, now_ms=self._clock.now_ms())
        if route.needs_key:
            verdict = self._authorize(event)
            if isinstance(verdict, HttpAnswer):
                return verdict
            event["requestContext"]["authorizer"] = {"lambda": verdict}
        if len(event.get("body", "")) > EVENT_LIMIT:
            return refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        try:
            return answer_of(function(event))
        except Exception as failure:  # noqa: BLE001 - as the gateway does: whatever the function fails with is a 500
            self._on_failure(failure)
            return refusal(HTTPStatus.INTERNAL_SERVER_ERROR)

    def _route(self, request: HttpRequest) -> tuple[Route, Function]:
        path = unquote(request.path)
        if request.method in {"GET", "HEAD"} and path.removesuffix("/") == self._health_path:
            return Route(f"{request.method} {path}", needs_key=False), self._function
        for key, pattern, function in self._others:
            found = pattern.fullmatch(f"{request.method} {request.path}")
            if found:
                parameters = {name: unquote(value) for name, value in found.groupdict().items()}
                return Route(key, path_parameters=parameters), function
        if request.method == "OPTIONS":
            return Route("OPTIONS /{proxy+}", needs_key=False, path_parameters={"proxy": path[1:]}), self._function
        return Route("$default"), self._function

    def _authorize(self, event: Mapping[str, Any]) -> dict[str, Any] | HttpAnswer:
        """The authorizer's context for the function, or the gateway's refusal."""
        if self._authorizer is None:
            return {"tenantId": self._tenant_id}
        key = event["headers"].get(self._authorizer.header)
        if not key:
            return refusal(HTTPStatus.UNAUTHORIZED)
        now_ms = self._clock.now_ms()
        until_ms, verdict = self._remembered.get(key, (0, {}))
        if until_ms <= now_ms:
            try:
                verdict = self._authorizer.function(authorizer_event(event, key))
            except Exception as failure:  # noqa: BLE001 - whatever a function raises is a 500
                self._on_failure(failure)
                return refusal(HTTPStatus.INTERNAL_SERVER_ERROR)
            self._remembered = {known: entry for known, entry in self._remembered.items() if entry[0] > now_ms} | {
                key: (now_ms + self._authorizer.remembered_ms, verdict)
            }
        if not verdict.get("isAuthorized"):
            return refusal(HTTPStatus.FORBIDDEN)
        return dict(verdict.get("context") or {})


def _pattern(route_key: str) -> re.Pattern[str]:
    """What a route's key matches: each name in braces stands for one part of the path."""
    return re.compile(
        "".join(f"(?P<{part}>[^/]+)" if at % 2 else part for at, part in enumerate(_NAMES.split(route_key)))
    )


_NAMES: Final = re.compile(r"\{(\w+)\}")

_REFUSALS: Final = {
    HTTPStatus.UNAUTHORIZED: "Unauthorized",
    HTTPStatus.FORBIDDEN: "Forbidden",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Request Too Long",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "Request Header Fields Too Large",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Internal Server Error",
}


def refusal(status: HTTPStatus) -> HttpAnswer:
    """An answer that the gateway makes by itself."""
    body = json.dumps({"message": _REFUSALS[status]}, separators=(",", ":")).encode()
    return HttpAnswer(status, [("content-type", "application/json")], body)


def event_of(request: HttpRequest, route: Route, *, request_id: str, now_ms: int) -> dict[str, Any]:
    """The event of a request; the gateway adds who the caller is."""
    path = unquote(request.path)  # HTTP APIs hand the path on decoded, in spite of its name
    host = (request.header("host") or "").lower()
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": route.key,
        "rawPath": path,
        "rawQueryString": request.query,
        "headers": _headers(request, host, now_ms),
        "requestContext": {
            "accountId": "123456789012",
            "apiId": API_ID,
            "domainName": host.split(":")[0],
            "domainPrefix": host.split(":")[0].split(".")[0],
            "http": {
                "method": request.method,
                "path": path,
                "protocol": request.protocol,
                "sourceIp": request.client,
                "userAgent": request.header("user-agent") or "",
            },
            "requestId": request_id,
            "routeKey": route.key,
            "stage": STAGE,
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now_ms / 1000)),
            "timeEpoch": now_ms,
        },
        "isBase64Encoded": False,
    }
    cookies = [cookie for name, value in request.headers if name.lower() == "cookie" for cookie in value.split("; ")]
    if cookies:
        event["cookies"] = cookies
    query = _joined(parse_qsl(request.query, keep_blank_values=True))
    if query:
        event["queryStringParameters"] = query
    if route.path_parameters:
        event["pathParameters"] = dict(route.path_parameters)
    if request.body:
        event["body"], event["isBase64Encoded"] = _body(request)
    return event


def authorizer_event(event: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The question to a REQUEST authorizer (payload version 2.0) about the request of `event`."""
    context = event["requestContext"]
    arn = f"arn:aws:execute-api:eu-west-1:{context['accountId']}:{API_ID}/{STAGE}/"
    return {
        "version": "2.0",
        "type": "REQUEST",
        "routeArn": f"{arn}{context['http']['method']}{event['rawPath']}",
        "identitySource": [key],
        **{
            name: event[name]
            for name in (
                "routeKey",
                "rawPath",
                "rawQueryString",
                "cookies",
                "headers",
                "queryStringParameters",
                "requestContext",
                "pathParameters",
            )
            if name in event
        },
    }


def answer_of(result: Any) -> HttpAnswer:
    """A function's answer as a response: of an object with a status code, or of anything else as a 200 with that body.

    Raises:
        ValueError: it is neither.

    """
    if not isinstance(result, dict) or "statusCode" not in result:
        return HttpAnswer(HTTPStatus.OK, [("content-type", "application/json")], json.dumps(result).encode())
    body = result.get("body") or ""
    content = base64.b64decode(body, validate=True) if result.get("isBase64Encoded") else str(body).encode()
    headers = [(str(name).lower(), str(value)) for name, value in (result.get("headers") or {}).items()]
    if not any(name == "content-type" for name, _ in headers):
        headers.append(("content-type", "text/plain;charset=UTF-8"))
    headers += [("set-cookie", cookie) for cookie in result.get("cookies") or []]
    return HttpAnswer(int(result["statusCode"]), headers, content)


def _headers(request: HttpRequest, host: str, now_ms: int) -> dict[str, str]:
    """The request's headers as the event has them, and those that the gateway adds."""
    sent = [(name.lower(), value) for name, value in request.headers if name.lower() != "cookie"]
    _, _, port = host.rpartition(":")
    return {
        "content-length": str(len(request.body)),
        **_joined(sent),
        "x-amzn-trace-id": f"Root=1-{now_ms // 1000:08x}-{os.urandom(12).hex()}",
        "x-forwarded-for": ", ".join([value for name, value in sent if name == "x-forwarded-for"] + [request.client]),
        "x-forwarded-port": port if port.isdigit() else "80",
        "x-forwarded-proto": "http",
    }


def _joined(pairs: Headers) -> dict[str, str]:
    """One entry a name; what was sent several times is joined by commas."""
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return {name: ",".join(several) for name, several in values.items()}


def _body(request: HttpRequest) -> tuple[str, bool]:
    """The body as the event has it, and whether that is base64: so for all that is not known as text."""
    content_type = (request.header("content-type") or "").split(";")[0].strip().lower()
    if content_type.startswith("text/") or content_type in _TEXT:
        try:
            return request.body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(request.body).decode(), True


def _request_id() -> str:
    """An id as the gateway gives them: sixteen characters that end in an equals sign."""
    return base64.urlsafe_b64encode(os.urandom(11)).decode()
