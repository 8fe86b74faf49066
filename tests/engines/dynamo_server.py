"""An engine in memory behind DynamoDB's own protocol, on a socket, and what may go wrong on the way back.

A fault is what a server does with one answer: it gets the connection and the answer's bytes. Faults are used up, one a
request; after them every answer is sent whole.
"""

import json
import socket
import ssl
import threading
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from botocore import xform_name
from botocore.exceptions import ClientError

Fault = Callable[[socket.socket, bytes], object]


def whole(connection: socket.socket, answer: bytes) -> None:
    """Send all of it."""
    connection.sendall(answer)


def cut(length: int) -> Fault:
    """Send so many bytes of it, and close the connection."""

    def fault(connection: socket.socket, answer: bytes) -> None:
        connection.sendall(answer[:length])
        connection.shutdown(socket.SHUT_RDWR)

    return fault


def instead(answer: bytes) -> Fault:
    """Send something else."""
    return lambda connection, _: connection.sendall(answer)


def never(connection: socket.socket, _: bytes) -> None:
    """Send nothing, and wait until the caller has gone."""
    connection.recv(1)


def drip(looks: threading.Semaphore) -> Fault:
    """Send a byte when the caller has looked at its clock, as it does before it waits for more, or after a moment."""

    def fault(connection: socket.socket, answer: bytes) -> None:
        for each in answer:
            looks.acquire(timeout=0.05)
            connection.sendall(bytes([each]))

    return fault


def http(status: int, body: bytes, headers: str = "") -> bytes:
    """An answer as DynamoDB sends it, without its checksum."""
    return f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n{headers}\r\n".encode() + body


def refusal(code: str, message: str = "made to fail", *, status: int = 400, headers: str = "") -> bytes:
    """An answer that refuses the call."""
    body = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message})
    return http(status, body.encode(), headers)


class DynamoServer:
    """Answers for `engine`, a client in memory. For use in `with`. `asked` has the operations, in order."""

    def __init__(self, engine: Any = None, context: ssl.SSLContext | None = None) -> None:
        self.engine = engine
        self.faults: list[Fault] = []
        self.asked: list[str] = []
        self.connections: list[socket.socket] = []
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.port: Final[int] = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._ending = False

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending = True
        socket.create_connection(("127.0.0.1", self.port)).close()  # wakes the thread that accepts
        self.hang_up()
        for thread in self._threads:
            thread.join()

    def hang_up(self) -> None:
        """Close every connection, as a server does that has not been asked for a while."""
        for connection in self.connections:
            _shut(connection)

    def _start(self, run: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self._ending:
                connection.close()
                self._listener.close()
                return
            self.connections.append(connection)
            self._start(self._serve, connection)

    def _serve(self, plain: socket.socket) -> None:
        connection = plain
        try:
            if self._context:
                connection = self._context.wrap_socket(plain, server_side=True)
            with connection, connection.makefile("rb") as requests:
                while requests.readline():
                    headers = {}
                    while line := requests.readline().decode().strip():
                        name, _, value = line.partition(": ")
                        headers[name] = value
                    body = requests.read(int(headers["content-length"]))
                    operation = headers["x-amz-target"].partition(".")[2]
                    self.asked.append(operation)
                    answer = b"" if self.engine is None else answer_of(self.engine, operation, body)
                    fault = self.faults.pop(0) if self.faults else whole
                    fault(connection, answer)
        except OSError:  # the caller has gone, or does not trust us
            plain.close()


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:  # it is closed
        return


def answer_of(engine: Any, operation: str, body: bytes) -> bytes:
    """Let the engine carry out a call; return what DynamoDB would send."""
    request = json.loads(body, object_hook=lambda found: {k: _read(k, v) for k, v in found.items()})
    try:
        result = getattr(engine, xform_name(operation))(**request)
        status = 200
    except ClientError as error:
        result = {name: value for name, value in error.response.items() if name not in {"Error", "message"}}
        result |= {"__type": f"com.amazonaws.dynamodb.v20120810#{error.response['Error']['Code']}"}
        result |= {"message": error.response["Error"]["Message"]}
        status = int(error.response["ResponseMetadata"]["HTTPStatusCode"])
    result.pop("ResponseMetadata", None)
    text = json.dumps(result, default=lambda value: b64encode(bytes(value)).decode()).encode()
    return http(status, text, f"x-amz-crc32: {zlib.crc32(text)}\r\nx-amzn-requestid: 1\r\n")


def _read(name: str, value: Any) -> Any:
    """Bytes of an attribute: the examples here have no attribute that is called B."""
    return b64decode(value) if name == "B" and isinstance(value, str) else value
