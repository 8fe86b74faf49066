"""The local stack in this process, behind transports of httpx that may fail, with clocks that tests move."""

import os
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from unittest import mock

import httpx
from agent_sessions.bootstrap import wiring
from agent_sessions.bootstrap.wiring import Wiring
from agent_sessions_client import AsyncSessionsClient, Patience, SessionsClient

from local.gateway import HttpRequest
from local.options import Options
from local.stack import LocalStack

URL: Final = "http://sessions.test"
AGENT: Final = "b8504bc3-45f8-4a41-a00a-83df46d8555d"
USER: Final = "6c6f2d1e-0a3b-4f7d-9e58-1b2c3d4e5f60"

Handler = Callable[[httpx.Request], httpx.Response]


class ManualClock:
    """A clock that stands still unless somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0
        self.slept: list[float] = []

    def wall(self) -> float:
        return self.seconds

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)


class VirtualClock:
    """The clock of a machine beside the stack, wrong by some seconds. Sleeping moves the stack's clock."""

    def __init__(self, stack: LocalStack, wrong_by_seconds: float = 0) -> None:
        self._stack = stack
        self._wrong_by = wrong_by_seconds

    def wall(self) -> float:
        return self._stack.clock.now_ms() / 1000 + self._wrong_by

    def monotonic(self) -> float:
        return self._stack.clock.now_ms() / 1000

    def sleep(self, seconds: float) -> None:
        if seconds > 0:
            self._stack.advance(round(seconds * 1000) or 1)

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)


class Service:
    """A running stack, and the requests that reached it."""

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack
        self.requests: list[httpx.Request] = []

    @classmethod
    @contextmanager
    def running(cls, folder: Path, *, auth: bool = False) -> Iterator["Service"]:
        stack = LocalStack(Options(port=0, auth=auth), log_file=folder / "functions.log", data_dir=folder / "data")
        with (
            (folder / "terminal.log").open("w", encoding="utf-8") as terminal,
            mock.patch.dict(os.environ),  # the stack sets it up for a process of its own
        ):
            stack.terminal = terminal
            stdout = sys.stdout
            try:
                with stack.running():
                    now_ms = stack.clock._real_time_ms()
                    stack.clock._real_time_ms = lambda: now_ms  # time passes where somebody sleeps, and only there
                    yield cls(stack)
            finally:
                sys.stdout = stdout
                wiring.wire(Wiring({}))

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer as the stack does."""
        self.requests.append(request)
        answer = self.stack.answer(
            HttpRequest(
                method=request.method,
                path=request.url.raw_path.partition(b"?")[0].decode(),
                query=request.url.query.decode(),
                headers=list(request.headers.items()),
                body=request.read(),
                client="127.0.0.1",
                protocol="HTTP/1.1",
            )
        )
        return httpx.Response(answer.status, headers=answer.headers, content=answer.body)

    def asked(self, method: str, ending: str) -> int:
        """How many requests of a kind have reached the stack."""
        return sum(each.method == method and each.url.path.endswith(ending) for each in self.requests)

    def client(self, handler: Handler | None = None, **options: Any) -> SessionsClient:
        return client_of(handler or self.answer, **options)

    def events(self, session_id: str) -> list[str]:
        """The kinds of the events that were published about a session."""
        return [
            event["type"].rpartition(".")[2]
            for event in self.stack.inbox.events()
            if event["subject"] == session_id and ".session." in event["type"]
        ]


def client_of(handler: Handler, **options: Any) -> SessionsClient:
    return SessionsClient(URL, http=httpx.Client(transport=httpx.MockTransport(handler)), **options)


def async_client_of(handler: Handler, **options: Any) -> AsyncSessionsClient:
    return AsyncSessionsClient(URL, http=httpx.AsyncClient(transport=httpx.MockTransport(handler)), **options)


PATIENT: Final = Patience(deadline_seconds=3600)


class Killed(BaseException):
    """The program was killed in the middle of a call."""


class Weather:
    """A network and a gateway that fail at random, before the service has seen the request or after."""

    def __init__(self, answer: Handler, seed: int) -> None:
        self._answer = answer
        self._random = random.Random(seed)
        self.met: set[str] = set()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        fault = self._random.choice(["none"] * 24 + list(self.BEFORE) + list(self.AFTER))
        self.met.add(fault)
        if fault in self.BEFORE:
            return self.BEFORE[fault]()
        response = self._answer(request)
        return response if fault == "none" else self.AFTER[fault]()

    @staticmethod
    def _raised(error: BaseException) -> Callable[[], httpx.Response]:
        def fail() -> httpx.Response:
            raise error

        return fail

    BEFORE: Final = {
        "refused connection": _raised(httpx.ConnectError("refused")),
        "throttled": lambda: httpx.Response(429, json={"message": "Too Many Requests"}),
        "unavailable": lambda: httpx.Response(
            503, headers={"retry-after": "1"}, json={"success": False, "error": {"code": "SERVICE_UNAVAILABLE"}}
        ),
        "killed before": _raised(Killed()),
    }
    AFTER: Final = {
        "lost answer": _raised(httpx.ReadTimeout("no answer")),
        "broken connection": _raised(httpx.RemoteProtocolError("broken off")),
        "gateway gave up": lambda: httpx.Response(503, json={"message": "Service Unavailable"}),
        "killed after": _raised(Killed()),
    }
