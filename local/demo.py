"""`make demo`: one session's life against a local stack, printed as a time line; an hour passes in a few seconds."""

import argparse
import http.client
import io
import json
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO
from urllib.parse import urlsplit

from agent_sessions.api.edge import BASE_PATH

from local.options import Options
from local.server import Server, listen, url_of
from local.stack import LocalStack

_TIMEOUT_SECONDS: Final = 60
AGENT: Final = "5f0c7a1e-3b5d-4c59-9d5e-0b7a52e3a001"
USER: Final = "8d2f6b90-1c34-4e0a-8f11-6a3b9d4c7002"

Json = dict[str, Any]


class DemoError(Exception):
    """The session did something else; the message names it."""


class Client:
    """Speaks to a stack as a client of the API would, and moves its clock."""

    def __init__(self, url: str, key: str | None = None) -> None:
        """`key` is sent where a stack asks for one."""
        self._url = url
        self._headers = {"content-type": "application/json"} | ({"x-api-key": key} if key else {})
        self._events_seen = 0

    def call(self, method: str, path: str, body: Json | None = None, *, expected: int = 200) -> Json:
        """Send a request; return the answer's JSON.

        Raises:
            DemoError: no answer, or one with another status.

        """
        connection = http.client.HTTPConnection(urlsplit(self._url).netloc, timeout=_TIMEOUT_SECONDS)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), self._headers)
            answer = connection.getresponse()
            content = answer.read()
        except OSError as error:
            message = f"no local stack answers at {self._url} ({error}): start one with `make run`"
            raise DemoError(message) from error
        finally:
            connection.close()
        if answer.status != expected:
            message = f"{method} {path} was answered {answer.status}, not {expected}: {content.decode()}"
            raise DemoError(message)
        return dict(json.loads(content))

    def new_events(self, session_id: str) -> list[Json]:
        """The session's events that were not asked for yet."""
        events = self.call("GET", "/_local/events")["events"]
        new = [event for event in events[self._events_seen :] if event["subject"] == session_id]
        self._events_seen = len(events)
        return new


class Story:
    """The time line: what happens, at what time by the stack's clock."""

    def __init__(self, client: Client, out: TextIO) -> None:
        """Print to `out` what happens to one session, which `create` makes."""
        self._client = client
        self._out = out
        self._id = ""

    def create(self) -> None:
        """Begin."""
        config = {"timeoutMinutes": 30, "warningThresholdMinutes": 5}
        session = self._client.call(
            "POST",
            BASE_PATH,
            {"agentId": AGENT, "userId": USER, "timeoutConfig": config, "metadata": {"topic": "a short holiday"}},
            expected=201,
        )
        self._id = session["sessionId"]
        self._client.new_events(self._id)
        self._print(session["createdAt"], "POST /", f"a session of 30 minutes; it expires at {_time(session)}")

    def wait(self, minutes: int) -> None:
        """Let time pass; print the events that it brings."""
        self._client.call("POST", "/_local/clock", {"advanceMinutes": minutes})
        print(f"{'':10}⋮ {minutes} minutes", file=self._out)
        for event in self._client.new_events(self._id):
            kind = event["type"].rpartition(".")[2]
            end = f"{event['data']['expiresAt'][11:19]}, {event['data']['reason']}"
            text = f"ends at {end}" if kind == "expiring" else f"ended at {end}"
            self._print(event["time"], f"event {kind}", text, mark="★")

    def act(self, what: str, why: str) -> None:
        """Send a heartbeat or renew."""
        session = self._client.call("POST", f"{BASE_PATH}/{self._id}/{what}")
        self._print(session["lastActivity"], f"POST /{what}", f"{why}; it now expires at {_time(session)}")

    def end(self) -> None:
        """See that it is over."""
        error = self._client.call("GET", f"{BASE_PATH}/{self._id}", expected=410)["error"]
        self._print(error["timestamp"], "GET /", f"410 {error['code']}, {error['details']['reason']}")

    def _print(self, time: str, what: str, text: str, mark: str = "●") -> None:
        print(f"{time[11:19]}  {mark} {what:<16} {text}", file=self._out)


def play(client: Client, out: TextIO) -> None:
    """Play the story: create, heartbeat, warning, renewal, warning, expiry.

    Raises:
        DemoError: the session did something else.

    """
    story = Story(client, out)
    story.create()
    story.wait(20)
    story.act("heartbeat", "somebody types")
    story.wait(26)
    story.act("renew", "the warning arrived")
    story.wait(32)
    story.end()


def _time(session: Json) -> str:
    return str(session["expiresAt"])[11:19]


@contextmanager
def own_stack() -> Iterator[str]:
    """A stack for the demo alone, at a free port; its address."""
    with tempfile.TemporaryDirectory() as folder, listen("127.0.0.1", 0) as listener:
        stack = LocalStack(Options(port=0), log_file=Path(folder) / "functions.log")
        stack.terminal = io.StringIO()
        with stack.running():
            server = Server(stack)
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
            thread.start()
            try:
                yield url_of(listener)
            finally:
                stack.ending.set()
                server.should_exit = True
                thread.join()


def main() -> int:
    """Play the story against a stack that runs, or one of its own."""
    parser = argparse.ArgumentParser(prog="python -m local.demo", description=__doc__)
    parser.add_argument("--url", help="a stack that runs, such as http://127.0.0.1:3000; without it, one of its own")
    parser.add_argument("--key", help="an API key, where that stack asks for one")
    options = parser.parse_args()
    out = sys.stdout  # before a stack takes it for its functions' log
    try:
        if options.url:
            play(Client(options.url.rstrip("/"), options.key), out)
        else:
            with own_stack() as url:
                play(Client(url), out)
    except DemoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
