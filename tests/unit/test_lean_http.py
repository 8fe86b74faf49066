"""The lean client's connections, against a server on a socket: kept, dead, slow, cut, and over TLS."""

import socket
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from agent_sessions.aws_clients.lean_http import Limits

from tests.engines import certificates
from tests.engines.dynamo_server import DynamoServer, Fault, cut, drip, http, instead, never, whole
from tests.engines.lean import KEYS, PATIENT, NotedPauses, lean_client

GET: Any = {"TableName": "t", "Key": {"id": {"S": "a"}}}
BUSY = 8


class Engine:
    """Answers every call with one item."""

    def get_item(self, **_: Any) -> dict[str, Any]:
        return {"Item": {"id": {"S": "a"}, "text": {"S": "Größe" * 20}}}

    update_item = put_item = get_item


@pytest.fixture
def server() -> Iterator[DynamoServer]:
    with DynamoServer(Engine()) as found:
        yield found


@pytest.fixture
def new_client() -> Iterator[Callable[..., Any]]:
    """Makes clients, and closes their connections at the end."""
    with ExitStack() as ends:

        def make(url: str, **options: Any) -> Any:
            made = lean_client(url, **options)
            ends.callback(made.close)
            return made

        yield make


@pytest.fixture
def client(server: DynamoServer, new_client: Callable[..., Any]) -> Any:
    return new_client(f"http://127.0.0.1:{server.port}")


def busy_at_once(server: DynamoServer, client: Any) -> None:
    """Have as many connections at a time as threads."""
    met = Barrier(BUSY)

    def together(connection: socket.socket, answer: bytes) -> None:
        met.wait()
        whole(connection, answer)

    server.faults = [together] * BUSY
    with ThreadPoolExecutor(BUSY) as threads:
        list(threads.map(lambda _: client.get_item(**GET), range(BUSY)))
    assert len(server.connections) == BUSY


# --- kept connections -------------------------------------------------------------------------------------------------


def test_one_connection_serves_call_after_call(server: DynamoServer, client: Any) -> None:
    for _ in range(3):
        assert client.get_item(**GET)["Item"]["text"]["S"].startswith("Größe")
    assert len(server.connections) == 1


def test_threads_have_connections_of_their_own_and_keep_them(server: DynamoServer, client: Any) -> None:
    busy_at_once(server, client)
    with ThreadPoolExecutor(BUSY) as threads:
        list(threads.map(lambda _: client.get_item(**GET), range(5 * BUSY)))
    assert len(server.connections) == BUSY


@pytest.mark.parametrize("method", ["get_item", "put_item"])
def test_eight_connections_that_the_server_closed_meanwhile_cost_no_attempt(
    server: DynamoServer, client: Any, method: str
) -> None:
    busy_at_once(server, client)
    server.hang_up()
    server.asked.clear()
    getattr(client, method)(**GET)
    assert len(server.asked) == 1
    assert client._clock.pauses == []


@pytest.mark.parametrize("method, asked", [("get_item", 2), ("update_item", 2), ("put_item", 1)])
def test_a_connection_that_dies_with_a_call_takes_the_kept_ones_along_and_a_put_is_not_repeated(
    server: DynamoServer, client: Any, method: str, asked: int
) -> None:
    """Seven others may be dead without anybody knowing it yet: the second attempt does not rely on them."""
    busy_at_once(server, client)
    server.asked.clear()
    server.faults = [cut(0)]
    if method == "put_item":
        with pytest.raises(ConnectionError):
            client.put_item(**GET)
    else:
        getattr(client, method)(**GET)
        assert len(server.connections) == BUSY + 1
    assert len(server.asked) == asked


def test_a_connection_is_not_kept_where_the_server_closes_it(server: DynamoServer, client: Any) -> None:
    server.faults = [instead(http(200, b"{}", "connection: close\r\n"))]
    client.get_item(**GET)
    client.get_item(**GET)
    assert len(server.connections) == 2
    assert client._clock.pauses == []


def test_an_answer_in_chunks_is_read(server: DynamoServer, client: Any) -> None:
    server.faults = [instead(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")]
    assert client.get_item(**GET)["ResponseMetadata"]["HTTPStatusCode"] == 200
    client.get_item(**GET)
    assert len(server.connections) == 1


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0\r\n", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n", b"HTTP/9 1\r\n\r\n", b"\x00" * 99]
)
def test_what_is_no_http_is_no_answer(server: DynamoServer, client: Any, answer: bytes) -> None:
    server.faults = [instead(answer + b"\r\n" * 2), cut(3)]
    with pytest.raises(ConnectionError):
        client.get_item(**GET)
    assert len(server.asked) == 2


# --- in time ----------------------------------------------------------------------------------------------------------


def test_an_answer_that_comes_byte_by_byte_is_given_up_when_its_time_is_over(
    server: DynamoServer, new_client: Callable[..., Any]
) -> None:
    """Half a minute passes with each byte: the whole answer has ten bytes' time."""
    clock = NotedPauses()
    clock.seconds_a_look = 30
    client = new_client(f"http://127.0.0.1:{server.port}", clock=clock, limits=Limits(connect=300, answer=300))
    server.faults = [drip(clock.looks)] * 2
    with pytest.raises(TimeoutError):
        client.get_item(**GET)
    assert (len(server.asked), clock.pauses) == (2, [0.5])
    clock.looks.release(10_000)  # the server need not wait any longer


@pytest.mark.parametrize("faults", [[never, never], [never, cut(5)]], ids=["silent", "cut"])
def test_a_server_that_does_not_answer_costs_two_attempts(
    server: DynamoServer, new_client: Callable[..., Any], faults: list[Fault]
) -> None:
    client = new_client(f"http://127.0.0.1:{server.port}", limits=Limits(connect=300, answer=0.02))
    server.faults = faults
    with pytest.raises((TimeoutError, ConnectionError)):
        client.get_item(**GET)
    assert client._clock.pauses == [0.5]


def test_a_server_that_refuses_connections_costs_two_attempts(new_client: Callable[..., Any]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        client = new_client(f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(ConnectionRefusedError):
            client.get_item(**GET)
    assert client._clock.pauses == [0.5]


def test_every_address_of_the_host_is_tried_within_one_limit(
    server: DynamoServer, new_client: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        addresses = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
            for port in (unused.getsockname()[1], server.port)
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
        client = new_client("http://somewhere")
        client.get_item(**GET)
        assert client._clock.pauses == []

        clock = NotedPauses()
        clock.seconds_a_look = 200
        hurried = new_client("http://somewhere", clock=clock, limits=Limits(connect=300, answer=300))
        with pytest.raises(TimeoutError):
            hurried.get_item(**GET)


# --- over TLS ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    return certificates.make(tmp_path_factory.mktemp("tls"), "localhost")


@pytest.fixture
def secure(trusted: tuple[ssl.SSLContext, Path]) -> Iterator[DynamoServer]:
    with DynamoServer(Engine(), trusted[0]) as found:
        yield found


@pytest.fixture
def secure_client(new_client: Callable[..., Any]) -> Callable[..., Any]:
    def make(port: int, bundle: Path, limits: Limits = PATIENT) -> Any:
        return new_client(f"https://localhost:{port}", environ=KEYS | {"AWS_CA_BUNDLE": str(bundle)}, limits=limits)

    return make


def test_calls_go_over_tls_on_one_kept_connection(
    secure: DynamoServer, trusted: tuple[ssl.SSLContext, Path], secure_client: Callable[..., Any]
) -> None:
    client = secure_client(secure.port, trusted[1])
    for _ in range(3):
        assert client.get_item(**GET)["Item"]
    assert len(secure.connections) == 1


def test_eight_dead_connections_over_tls_cost_no_attempt(
    secure: DynamoServer, trusted: tuple[ssl.SSLContext, Path], secure_client: Callable[..., Any]
) -> None:
    client = secure_client(secure.port, trusted[1])
    busy_at_once(secure, client)
    secure.hang_up()
    secure.asked.clear()
    client.put_item(**GET)
    assert len(secure.asked) == 1


def test_an_answer_over_tls_that_is_cut_is_no_answer(
    secure: DynamoServer, trusted: tuple[ssl.SSLContext, Path], secure_client: Callable[..., Any]
) -> None:
    secure.faults = [cut(100)]
    client = secure_client(secure.port, trusted[1])
    with pytest.raises(OSError, match=r"."):
        client.put_item(**GET)


def test_a_certificate_of_somebody_else_is_refused(
    secure: DynamoServer, secure_client: Callable[..., Any], tmp_path: Path
) -> None:
    _, others = certificates.make(tmp_path, "localhost")
    with pytest.raises(ssl.SSLCertVerificationError):
        secure_client(secure.port, others).get_item(**GET)
    assert secure.asked == []


def test_a_certificate_for_another_host_is_refused(secure_client: Callable[..., Any], tmp_path: Path) -> None:
    context, bundle = certificates.make(tmp_path, "dynamodb.example.com")
    with DynamoServer(Engine(), context) as server:
        with pytest.raises(ssl.SSLCertVerificationError, match="localhost"):
            secure_client(server.port, bundle).get_item(**GET)
        assert server.asked == []


def test_a_handshake_that_drags_on_is_given_up_when_the_time_for_connecting_is_over(
    trusted: tuple[ssl.SSLContext, Path], secure_client: Callable[..., Any]
) -> None:
    """The server says something all the time, and never gets to the point.

    Where it gets to say nothing before the time is over, the machine was busy: then there is more time.
    """
    with ExitStack() as ends, socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(300)
        threads = ends.enter_context(ThreadPoolExecutor())

        def drag_on() -> int:
            connection, _ = listener.accept()
            sent = 0
            with connection:
                connection.settimeout(0.005)
                connection.sendall(b"\x16\x03\x03\x40\x00")  # a record of a handshake, of 16,384 bytes
                while True:
                    try:
                        if not connection.recv(4096):
                            return sent
                    except TimeoutError:
                        connection.sendall(b"\x02")
                        sent += 1
                    except ConnectionError:
                        return sent

        sent, limit = 0, 0.1
        while sent < 2 and limit < 300:
            server = threads.submit(drag_on)
            client = secure_client(listener.getsockname()[1], trusted[1], limits=Limits(connect=limit, answer=300))
            with pytest.raises(TimeoutError):
                client.put_item(**GET)
            sent, limit = server.result(), 4 * limit
        assert sent > 1
