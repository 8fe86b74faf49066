"""The local stack in this process, behind its real HTTP server: tests speak to it over sockets, and look inside it."""

import http.client
import json
import os
import socket
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from unittest import mock

from agent_sessions.bootstrap import wiring
from agent_sessions.bootstrap.wiring import Wiring

from local import agent, forward
from local.options import Options
from local.server import Server, listen, url_of
from local.stack import LocalStack

BASE: Final = "/api/messaging/sessions"
ERASURES: Final = "/api/messaging/erasures"
TIMEOUT_SECONDS: Final = 300
"""An answer that takes longer counts as none. Nothing here waits for anything, but the machine may be busy."""


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class Reply:
    """What came back over the wire."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def json(self) -> Any:
        return json.loads(self.body)


class Serving:
    """A running stack."""

    def __init__(self, stack: LocalStack, port: int) -> None:
        self.stack = stack
        self.port = port

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        text: str | None = None,
    ) -> Reply:
        """Send one request; the body goes as JSON, or as the `text` that it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_SECONDS)
        try:
            content = text if body is None else json.dumps(body)
            sent = {"content-type": "application/json"} if body is not None else {}
            sent |= {} if key is None else {"x-api-key": key}
            connection.request(method, path, content, {**sent, **(headers or {})})
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, names, response.read())
        finally:
            connection.close()

    def stand_still(self) -> None:
        """Let the stack's time stand still but for moves: no wait ends by itself, however slow the machine is."""
        now_ms = self.stack.clock._real_time_ms()
        self.stack.clock._real_time_ms = lambda: now_ms

    def raw(self, data: bytes, *, close: bool = True) -> bytes:
        """Send bytes as they are, then end the sending side if `close` is set, and read until the other side ends."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT_SECONDS) as connection:
            try:
                connection.sendall(data)
                if close:
                    connection.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before it was all sent
            parts = []
            try:
                while part := connection.recv(65_536):
                    parts.append(part)
            except ConnectionResetError:
                pass  # the other side closed first
            return b"".join(parts)

    @contextmanager
    def counted(self) -> Iterator[Counter[str]]:
        """Count the calls to DynamoDB that requests make meanwhile, as `table operation`."""
        calls: Counter[str] = Counter()
        engine = wiring._wiring.clients["dynamodb"]
        answer = engine._answer

        def count(name: str, request: Mapping[str, Any], do: Any) -> Any:
            if threading.current_thread().name.startswith(
                ("api", "messages")
            ):  # not the sweeper, whose minute may come at any time
                tables = list(request.get("RequestItems", [request.get("TableName", "several")]))
                operation = "".join(word.capitalize() for word in name.split("_"))
                calls[f"{tables[0].removeprefix('local-')} {operation}"] += 1
            return answer(name, request, do)

        with mock.patch.object(engine, "_answer", count):
            yield calls


@contextmanager
def serving(folder: Path, *, auth: bool, **options: Any) -> Iterator[Serving]:
    """Run a stack with an embedded store and these options; its log and its terminal are files in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        (folder / "terminal.log").open("w", encoding="utf-8") as terminal,
        listen("127.0.0.1", 0) as listener,
        mock.patch.dict(os.environ),  # the stack sets it up for a process of its own
        mock.patch.object(agent, "_THINK_SECONDS", TIMEOUT_SECONDS),
        mock.patch.object(forward, "_ANSWER_SECONDS", TIMEOUT_SECONDS),
    ):
        stack = LocalStack(
            Options(port=0, auth=auth, **options),
            log_file=folder / "functions.log",
            data_dir=folder / "data",
            url=url_of(listener),
        )
        stack.terminal = terminal
        stdout = sys.stdout
        try:
            with stack.running():
                server = Server(stack)
                thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
                thread.start()
                try:
                    yield Serving(stack, listener.getsockname()[1])
                finally:
                    stack.ending.set()
                    server.should_exit = True
                    thread.join()
        finally:
            sys.stdout = stdout
            wiring.wire(Wiring({}))
