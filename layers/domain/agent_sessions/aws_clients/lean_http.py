"""HTTP for the lean transport: kept connections to one host, and calls that end by a deadline. Knows nothing of AWS."""

import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from io import BufferedReader, RawIOBase
from pathlib import Path
from select import POLLIN, poll
from typing import Any, Final, NamedTuple

from agent_sessions.errors import SettingsError

_KEPT: Final = 10
"""Connections that are kept between calls: as many as threads may call at a time without opening new ones each time."""


class HttpAnswer(NamedTuple):
    """What came back, whole."""

    status: int
    headers: dict[str, str]
    """By name in lower case."""
    body: bytes


class Limits(NamedTuple):
    """How long one exchange may take, in seconds. Only the resolver of names keeps to a limit of its own."""

    connect: float
    """A new connection: every address of the host that is tried, and the TLS handshake."""
    answer: float
    """From the first byte sent to the last byte received."""


def trust(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Return what connections are checked against: the bundle that the environment names, else botocore's.

    Raises:
        SettingsError: the bundle cannot be read.

    """
    bundle = environ.get("AWS_CA_BUNDLE") or environ.get("REQUESTS_CA_BUNDLE")
    if not bundle:
        from importlib.util import find_spec  # noqa: PLC0415 - on Lambda there is a bundle

        found = find_spec("botocore")
        bundle = str(Path(str(found and found.origin)).with_name("cacert.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(bundle)
    except OSError as error:
        raise SettingsError(f"AWS_CA_BUNDLE: {bundle} cannot be read: {error}") from None
    return context


class Connections:
    """Kept connections to one host. Threads may share them: each call has a connection to itself."""

    def __init__(
        self, host: str, port: int, context: ssl.SSLContext | None, limits: Limits, seconds: Callable[[], float]
    ) -> None:
        """Call `host`, over TLS where there is a `context`. `seconds` is a clock that never goes back."""
        self._host = host.encode()  # as bytes: for text Python loads its tables of international names
        self._port = port
        self._context = context
        self._limits = limits
        self._seconds = seconds
        self._kept: list[socket.socket] = []

    def post(self, headers: Mapping[str, str], body: bytes) -> HttpAnswer:
        """Send a POST and return its answer. When a connection breaks, those that are kept are closed with it.

        Raises:
            OSError: there was no connection in time, or it broke before the whole answer was there. What was asked for
                may have been done.

        """
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        request = (
            f"POST / HTTP/1.1\r\nuser-agent: agent-sessions\r\n{lines}content-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        connection = self._kept_alive() or self._connect()
        try:
            answer, stays_open = self._exchange(connection, request)
        except BaseException as error:
            connection.close()
            self.close()
            if isinstance(error, HTTPException | ValueError):  # ends early, or is no HTTP
                raise ConnectionError(f"the answer cannot be read: {error!r}") from error
            raise
        if stays_open and len(self._kept) < _KEPT:
            self._kept.append(connection)
        else:
            connection.close()
        return answer

    def close(self) -> None:
        """Close what is kept."""
        while self._kept:
            with suppress(IndexError):  # another thread was quicker
                self._kept.pop().close()

    def _exchange(self, connection: socket.socket, request: bytes) -> tuple[HttpAnswer, bool]:
        """Return the answer, and whether the connection may be used again."""
        deadline = self._seconds() + self._limits.answer
        connection.settimeout(self._limits.answer)
        connection.sendall(request)  # its timeout is for the whole of it
        response = HTTPResponse(_Reading(connection, deadline, self._seconds), method="POST")  # type: ignore[arg-type] # only `makefile` is asked of it
        try:
            response.begin()
            headers = {name.lower(): value for name, value in response.getheaders()}
            body = response.read()
        finally:
            response.close()
        return HttpAnswer(response.status, headers, body), not response.will_close

    def _kept_alive(self) -> socket.socket | None:
        """Return a kept connection on which nothing has happened since: an end or a byte means that it is of no use."""
        while self._kept:
            try:
                connection = self._kept.pop()
            except IndexError:  # another thread was quicker
                break
            waiting = poll()
            waiting.register(connection, POLLIN)
            if not waiting.poll(0):
                return connection
            connection.close()
        return None

    def _connect(self) -> socket.socket:
        """Open a connection, at the first address of the host that takes one."""
        deadline = self._seconds() + self._limits.connect
        refused: OSError = ConnectionError("the host has no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM):
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(_left(deadline, self._seconds))
                connection.connect(address)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._context:
                    connection.settimeout(_left(deadline, self._seconds))  # for the whole handshake
                    return self._context.wrap_socket(connection, server_hostname=self._host)
            except OSError as error:
                connection.close()
                refused = error
            else:
                return connection
        raise refused


class _Reading(RawIOBase):
    """Reads an answer until a deadline: a server that sends a byte now and then cannot hold a call up."""

    def __init__(self, connection: socket.socket, deadline: float, seconds: Callable[[], float]) -> None:
        self._connection = connection
        self._deadline = deadline
        self._seconds = seconds

    def makefile(self, _mode: str) -> BufferedReader:
        return BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - some writable buffer
        self._connection.settimeout(_left(self._deadline, self._seconds))
        return self._connection.recv_into(buffer)


def _left(deadline: float, seconds: Callable[[], float]) -> float:
    """Return the seconds until the deadline; raise TimeoutError where there are none."""
    left = deadline - seconds()
    if left <= 0:
        raise TimeoutError("timed out")
    return left
