"""The HTTP server of the local stack: the API, and beside it the page, its data and the routes that move the clock."""

import asyncio
import errno
import importlib.util
import json
import math
import re
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import uvicorn
from agent_sessions.api.edge import STATUS
from agent_sessions.api.json_body import read_object
from agent_sessions.api.responses import error_json
from agent_sessions.bootstrap import callers
from agent_sessions.errors import (
    FieldProblem,
    InvalidRequest,
    MethodNotAllowed,
    RouteNotFound,
    ServiceUnavailable,
    SessionServiceError,
)
from agent_sessions.keys.commands import answer as answer_key_command
from agent_sessions.sessions.model import MS_PER_MINUTE
from agent_sessions.wire_format import timestamp
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from local import forward
from local.clock import LATEST_MS
from local.events import FilterPolicyError
from local.gateway import BODY_LIMIT, HttpRequest
from local.page_stream import PageStream
from local.play import FASTEST
from local.schedule import LONGEST_MOVE_MS, Move, MoveStoppedError
from local.stack import ROOT, LocalStack

PAGE: Final = Path(__file__).with_name("page")
"""The folder of the page: `index.html`, and what it loads from `/_local/page/`."""
OPENAPI: Final = ROOT / "docs" / "openapi.json"

_PAGE_MAY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE_HEADERS: Final = {"cache-control": "no-store", "content-security-policy": _PAGE_MAY}
_LARGEST_HEAD: Final = 256 * 1024
_ADDRESS: Final = re.compile(r"^https?://[^/]*", re.IGNORECASE)
_PAGE_OF: Final = re.compile(r"https?://([^/]+)")


class CannotListenError(Exception):
    """The address cannot be listened on; the message says why, and what to do."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        CannotListenError: the port is taken, the host unknown.

    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # With its protocol, else asyncio does not know it for TCP, and small answers wait for one another.
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            message = f"Port {port} of {host} is taken by another program. Choose another: PORT={port + 1}"
        elif error.errno == errno.EACCES:
            message = f"Port {port} of {host} may not be used by this user. Choose one above 1023: PORT=3000"
        else:
            message = f"{host}:{port} cannot be listened on: {error.strerror or error}"
        raise CannotListenError(message) from error
    return listener


def url_of(listener: socket.socket) -> str:
    """How a browser on this machine reaches the socket."""
    host, port = listener.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - it is compared, not bound
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server(uvicorn.Server):
    """uvicorn, which ends the streams that pages hold open before it waits for its connections."""

    def __init__(self, stack: LocalStack) -> None:
        """Serve the stack."""
        self._stack = stack
        super().__init__(
            uvicorn.Config(
                application(stack),
                log_level="warning",
                access_log=False,
                server_header=False,
                lifespan="off",
                h11_max_incomplete_event_size=_LARGEST_HEAD,
                timeout_graceful_shutdown=2,
            )
        )

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Take a signal."""
        self._stack.ending.set()
        super().handle_exit(sig, frame)


def application(stack: LocalStack) -> ASGIApp:
    """All that the server answers: its own addresses, and the API at every other one, as the gateway would have it."""
    own = _own_application(stack)
    api = _Api(stack)

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        is_own = path.startswith(("/_local/", "/docs/")) or path == "/docs"
        is_page = path == "/" and scope["method"] in {"GET", "HEAD"}
        host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
        if not stack.options.answers_to(host):
            await _other_host(host)(scope, receive, send)
            return
        begun = False

        async def send_on(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await (own if is_own or is_page else api)(scope, receive, send_on)
        except asyncio.CancelledError:  # the server ends, and has waited long enough for a sweep, a move or a stream
            if not stack.ending.is_set():
                raise
            if not begun:
                unavailable = JSONResponse({"message": "Service Unavailable"}, HTTPStatus.SERVICE_UNAVAILABLE)
                await unavailable(scope, receive, send)

    return dispatch


def _other_host(host: str) -> Response:
    """Refuse a request that was sent to a name of which this stack knows nothing."""
    message = (
        f"The local stack does not answer to the host {host!r}. It answers to 127.0.0.1, localhost, [::1], HOST, and "
        "the names in ALLOW_HOSTS: make run ALLOW_HOSTS=name,other-name"
    )
    return JSONResponse({"message": message}, HTTPStatus.MISDIRECTED_REQUEST)


def _own_application(stack: LocalStack) -> Starlette:
    local = _LocalRoutes(stack)
    routes: list[Any] = [
        Route("/", _page),
        Route("/_local/page/{name}", _page_file),
        Route("/_local/clock", local.clock, methods=["GET", "POST"]),
        Route("/_local/sweep", local.sweep, methods=["POST"]),
        Route("/_local/events", local.events),
        Route("/_local/subscription", local.subscription, methods=["GET", "PUT"]),
        Route("/_local/keys", local.keys, methods=["POST"]),
        Route("/_local/stream", local.stream),
        Route(forward.PATH, local.sns),
        Route(forward.CERTIFICATE_PATH, local.certificate),
        Route("/docs", local.documentation),
        Route("/docs/openapi.json", _openapi),
    ]
    if _swagger_ui() is not None:
        routes.append(Mount("/docs", StaticFiles(directory=_swagger_ui())))
    return Starlette(routes=routes, exception_handlers={HTTPException: local.refuse})


class _Api:
    """The API, as an ASGI application: it sees requests as they came."""

    def __init__(self, stack: LocalStack) -> None:
        self._stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(receive)
        if body is None:
            return  # the caller went away before it had sent all of it: nobody is there to answer
        raw_path: bytes = scope["raw_path"]
        request = HttpRequest(
            method=scope["method"],
            # A target may be a whole address; the gateway looks at its path.
            path=_ADDRESS.sub("", raw_path.split(b"?")[0].decode("latin-1")),
            query=scope["query_string"].decode("latin-1"),
            headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]],
            body=body,
            client=scope["client"][0] if scope["client"] else "127.0.0.1",
            protocol=f"HTTP/{scope['http_version']}",
        )
        answer = await asyncio.get_running_loop().run_in_executor(
            self._stack.callers(request.path), self._stack.answer, request
        )
        headers = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in answer.headers]
        if answer.status != HTTPStatus.NO_CONTENT:
            headers.append((b"content-length", str(len(answer.body)).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else answer.body})


async def _body(receive: Receive) -> bytes | None:
    """The whole body, or as much of it as shows that it is too long; None where it broke off."""
    parts: list[bytes] = []
    length = 0
    while length <= BODY_LIMIT:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        length += len(parts[-1])
        if not message.get("more_body"):
            break
    return b"".join(parts)


class _LocalRoutes:
    """The routes under /_local. They answer errors in the API's shape."""

    def __init__(self, stack: LocalStack) -> None:
        self._stack = stack
        self._follow = PageStream(stack)

    async def clock(self, request: Request) -> Response:
        """Return the clock, move it, or set how fast it runs."""
        if request.method == "GET":
            return JSONResponse(self._follow.clock() | {"next": await asyncio.to_thread(self._follow.upcoming)})

        def move(body: bytes) -> dict[str, Any]:
            move = self._move(_object(body))
            if move is None:
                return self._follow.clock()
            return {
                "now": timestamp(move.end_ms),
                "advancedMinutes": (move.end_ms - move.start_ms) / MS_PER_MINUTE,
                "sweeps": move.sweeps,
                "events": move.events,
            }

        return await self._changed(request, move)

    async def sweep(self, request: Request) -> Response:
        """Sweep now."""
        return await self._changed(request, lambda _: self._stack.sweep())

    async def events(self, _request: Request) -> Response:
        """What the subscriber got so far."""
        return JSONResponse({"events": self._stack.inbox.events()})

    async def sns(self, request: Request) -> Response:
        """Confirm or end the subscription of FORWARD_TO, as its SubscribeURL and UnsubscribeURL ask."""
        if self._stack.forwarder is None:
            return self._refusal(RouteNotFound())
        status, xml = self._stack.forwarder.answer(request.url.query)
        return Response(xml, status, media_type="text/xml")

    async def certificate(self, _request: Request) -> Response:
        """The certificate of the key that signs what is posted to FORWARD_TO."""
        if self._stack.forwarder is None:
            return self._refusal(RouteNotFound())
        return Response(self._stack.forwarder.signer.certificate, media_type="application/x-pem-file")

    async def subscription(self, request: Request) -> Response:
        """Return the filter policy of the subscriber, or set it."""
        if request.method == "GET":
            return JSONResponse({"filterPolicy": self._stack.inbox.filter_policy})

        def change(body: bytes) -> dict[str, Any]:
            policy = _object(body).get("filterPolicy")
            if policy is not None and not isinstance(policy, dict):
                raise InvalidRequest([FieldProblem("filterPolicy", "must be an object or null", policy)])
            try:
                self._stack.inbox.filter(policy)
            except FilterPolicyError as error:
                raise InvalidRequest([FieldProblem("filterPolicy", str(error), policy)]) from error
            return {"filterPolicy": self._stack.inbox.filter_policy}

        return await self._changed(request, change)

    async def keys(self, request: Request) -> Response:
        """Make, list, revoke or rotate a key, for `python -m tools.keys`."""
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind != "application/json":  # a page of elsewhere could send other kinds without asking first
            return JSONResponse({"error": "The content-type must be application/json."}, 415)

        def manage(body: bytes) -> Response:
            try:
                status, answer = answer_key_command(callers.api_keys(), body, self._stack.clock.now_ms())
            except ServiceUnavailable as error:
                return JSONResponse({"error": str(error)}, HTTPStatus.SERVICE_UNAVAILABLE)
            return JSONResponse(answer, status)

        return await self._changed(request, manage)

    async def documentation(self, _request: Request) -> Response:
        """Show the API's documentation, with the key that the stack printed filled in."""
        return HTMLResponse(_DOCS.replace("KEY", json.dumps(self._stack.key)))

    async def stream(self, _request: Request) -> Response:
        """Send a page every change, as server-sent events."""
        return StreamingResponse(
            self._follow.changes(), media_type="text/event-stream", headers={"cache-control": "no-store"}
        )

    async def _changed(self, request: Request, change: Callable[[bytes], Any]) -> Response:
        """Carry out a change in a thread, as it may take long."""
        if not self._may_change(request.headers.get("origin")):
            return JSONResponse({"message": "Forbidden"}, HTTPStatus.FORBIDDEN)
        body = await request.body()
        try:
            changed = await asyncio.to_thread(change, body)
            return changed if isinstance(changed, Response) else JSONResponse(changed)
        except MoveStoppedError:
            return self._refusal(ServiceUnavailable())
        except SessionServiceError as error:
            return self._refusal(error)
        except Exception as error:  # noqa: BLE001 - the caller gets any failure of the sweeper: nothing here is secret
            return self._refusal(SessionServiceError(f"{type(error).__name__}: {error}"))

    def _may_change(self, origin: str | None) -> bool:
        """Whether a caller may change something: a program, or a page whose host is on the same list as the Host."""
        if origin is None:
            return True
        page = _PAGE_OF.fullmatch(origin)
        return page is not None and self._stack.options.answers_to(page.group(1))

    async def refuse(self, _request: Request, error: Exception) -> Response:
        """Answer an address or a verb that there is not, in the API's shape."""
        if isinstance(error, HTTPException) and error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            allow = (error.headers or {}).get("Allow", "")
            refusal = self._refusal(MethodNotAllowed(tuple(allow.split(", "))))
            refusal.headers["allow"] = allow
            return refusal
        return self._refusal(RouteNotFound())

    def _refusal(self, error: SessionServiceError) -> Response:
        body = error_json(error, self._stack.clock.now_ms())
        return Response(body, STATUS[type(error)], media_type="application/json")

    def _move(self, wanted: dict[str, Any]) -> Move | None:
        """Carry out a wish; None where it is about the speed. Any other wish ends a play."""
        if "speed" in wanted:
            speed = _number(wanted, "speed", f"from 1 to {FASTEST}", lambda speed: 1 <= speed <= FASTEST)
            self._stack.player.play(speed)
            return None
        if wanted.get("toNextEvent") is True and "advanceMinutes" not in wanted:
            self._stack.player.play(1)
            return self._stack.advance_to_event()
        now_ms = self._stack.clock.now_ms()
        if "advanceTo" in wanted:
            name = "advanceTo"
            to_ms = _moment_ms(wanted[name])
            if not now_ms < to_ms <= now_ms + LONGEST_MOVE_MS:
                rule = "must be after the clock's time, at most a year (the clock never goes backwards)"
                raise InvalidRequest([FieldProblem(name, rule, wanted[name])])
        else:
            name = "advanceMinutes"
            longest = LONGEST_MOVE_MS // MS_PER_MINUTE
            rule = f"above 0, at most {longest} (the clock never goes backwards)"
            minutes = _number(wanted, name, rule, lambda minutes: 0 < minutes <= longest)
            to_ms = now_ms + math.ceil(minutes * MS_PER_MINUTE)
        if to_ms > LATEST_MS:
            raise InvalidRequest([FieldProblem(name, "would pass the end of the year 9999", wanted[name])])
        self._stack.player.play(1)
        return self._stack.advance_to(to_ms) if name == "advanceTo" else self._stack.advance(to_ms - now_ms)


def _number(wanted: dict[str, Any], name: str, rule: str, holds: Callable[[float], bool]) -> float:
    """Read a number of a body for which `holds` is true; `rule` says when that is.

    Raises:
        InvalidRequest: it is none.

    """
    given = wanted.get(name)
    if isinstance(given, bool) or not isinstance(given, int | float) or not holds(given):
        raise InvalidRequest([FieldProblem(name, f"must be a number {rule}", given)])
    return given


def _moment_ms(given: Any) -> int:
    """Read ISO 8601 with a zone, as epoch milliseconds.

    Raises:
        InvalidRequest: it is something else.

    """
    problem = FieldProblem("advanceTo", "must be ISO 8601 with a zone", given)
    try:
        moment = datetime.fromisoformat(given)
    except (TypeError, ValueError) as error:
        raise InvalidRequest([problem]) from error
    if moment.tzinfo is None:
        raise InvalidRequest([problem])
    return (moment - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)


def _object(body: bytes) -> dict[str, Any]:
    """The JSON object that a body is.

    Raises:
        InvalidRequest: it is none.

    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest([FieldProblem("body", "must be UTF-8", "")]) from error
    return dict(read_object(text, is_base64=False))


async def _page(_request: Request) -> Response:
    return FileResponse(PAGE / "index.html", headers=_PAGE_HEADERS)


async def _page_file(request: Request) -> Response:
    # The name has no slash in it, and only what the folder holds is served.
    file = next((file for file in PAGE.iterdir() if file.name == request.path_params["name"]), None)
    if file is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return FileResponse(file, headers=_PAGE_HEADERS)


async def _openapi(request: Request) -> Response:
    described = json.loads(OPENAPI.read_text(encoding="utf-8"))
    described["servers"] = [{"url": str(request.base_url).rstrip("/"), "description": "this local stack"}]
    return JSONResponse(described, headers={"cache-control": "no-store"})


def _swagger_ui() -> Path | None:
    """The folder of Swagger UI in the package that brings it, which is not imported: it would want Flask."""
    spec = importlib.util.find_spec("flask_swagger_ui")
    found = Path(spec.origin).with_name("dist") if spec and spec.origin else None
    return found if found and found.is_dir() else None


_DOCS: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sessions API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" href="data:,">
</head>
<body>
<p style="margin:1em 2em;font-family:sans-serif"><a href="/">back to the local stack</a></p>
<div id="docs">The documentation needs the package that `make run` installs.</div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script>
const key = KEY;
const ui = SwaggerUIBundle({
  url: "/docs/openapi.json", dom_id: "#docs", deepLinking: true, defaultModelsExpandDepth: 0,
  onComplete: () => key && ui.preauthorizeApiKey("apiKey", key),
});
</script>
</body>
</html>
"""
