"""`make demo`: one conversation on a local stack, printed as a time line; an hour passes in a few seconds."""

import argparse
import http.client
import io
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO
from urllib.parse import urlsplit

from agent_sessions.api.edge import BASE_PATH

from local.options import Options
from local.server import Server, listen, url_of
from local.stack import LocalStack

_TIMEOUT_SECONDS: Final = 300
_PAUSE_SECONDS: Final = 0.05
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

    def call(
        self, method: str, path: str, body: Json | None = None, *, expected: int = 200, key: str | None = None
    ) -> Json:
        """Send a request, under an `Idempotency-Key` if one is given; return the answer's JSON.

        Raises:
            DemoError: no answer, or one with another status.

        """
        connection = http.client.HTTPConnection(urlsplit(self._url).netloc, timeout=_TIMEOUT_SECONDS)
        try:
            headers = self._headers | ({"idempotency-key": key} if key else {})
            connection.request(method, path, None if body is None else json.dumps(body), headers)
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

    def new_events(self, session_id: str, message_id: str = "") -> list[Json]:
        """The session's events that were not asked for yet; waits for the event of a message if one is given.

        Raises:
            DemoError: that event does not come.

        """
        give_up = time.monotonic() + _TIMEOUT_SECONDS
        while True:
            events = self.call("GET", "/_local/events")["events"]
            new = [event for event in events[self._events_seen :] if event["subject"] == session_id]
            if not message_id or any(_message_of(event) == message_id for event in new):
                self._events_seen = len(events)
                return new
            if time.monotonic() > give_up:
                message = f"no event came for the message {message_id} within {_TIMEOUT_SECONDS} seconds"
                raise DemoError(message)
            time.sleep(_PAUSE_SECONDS)


class Story:
    """The time line: what happens, at what time by the stack's clock."""

    def __init__(self, client: Client, out: TextIO) -> None:
        """Print to `out` what happens to one session, which `create` makes."""
        self._client = client
        self._out = out
        self._id = ""
        self._written: set[str] = set()

    def create(self) -> None:
        """Begin."""
        config = {"timeoutMinutes": 30, "warningThresholdMinutes": 5}
        session = self._client.call(
            "POST",
            BASE_PATH,
            {"agentId": AGENT, "userId": USER, "timeoutConfig": config, "metadata": {"topic": "a parcel"}},
            expected=201,
        )
        self._id = session["sessionId"]
        self._client.new_events(self._id)
        self._print(session["createdAt"], "POST /", f"a session of 30 minutes; it expires at {_time(session)}")

    def write(self, role: str, content: str, answers: Json | None = None) -> Json:
        """Write a message, wait for its event and return that.

        `answers` is the event that an agent answers. Its id is the key of the answer: an agent that gets the event
        again writes nothing twice.
        """
        key = f"demo:{answers['id']}" if answers else None
        path = f"{BASE_PATH}/{self._id}/messages"
        answer = self._client.call("POST", path, {"content": content, "role": role}, expected=201, key=key)
        message, status = answer["message"], answer["sessionStatus"]
        self._written.add(message["id"])
        renewed = f"  (it now expires at {_time(status)})" if status["wasRenewed"] else ""
        self._print(message["createdAt"], role, f"{content}{renewed}")
        return self._show(self._client.new_events(self._id, message["id"]))

    def wait(self, minutes: int) -> Json:
        """Let time pass in silence; print the events that it brings, and return the last."""
        self._client.call("POST", "/_local/clock", {"advanceMinutes": minutes})
        print(f"{'':10}⋮ {minutes} minutes", file=self._out)
        return self._show(self._client.new_events(self._id))

    def end(self) -> None:
        """See that it is over."""
        error = self._client.call("GET", f"{BASE_PATH}/{self._id}", expected=410)["error"]
        self._print(error["timestamp"], "GET /", f"410 {error['code']}, {error['details']['reason']}")

    def _show(self, events: list[Json]) -> Json:
        """Print events, and return the last. Those of messages that the stack's own agent wrote are left out."""
        shown = [event for event in events if _message_of(event) in self._written | {None}]
        for event in shown:
            kind = event["type"].removeprefix("agent-sessions.")
            data = event["data"]
            end = f"{_time(data)}, {data.get('reason')}"
            text = {"session.expiring": f"ends at {end}", "session.expired": f"ended at {end}"}.get(kind, "")
            if message := data.get("message"):
                text = f"number {message['sequence']}, from the {message['role']}"
            self._print(event["time"], kind, text, mark="★")
        if not shown:
            message = "the time passed without an event"
            raise DemoError(message)
        return shown[-1]

    def _print(self, time: str, what: str, text: str, mark: str = "●") -> None:
        print(f"{time[11:19]}  {mark} {what:<17} {text}", file=self._out)


def play(client: Client, out: TextIO) -> None:
    """Play the story: question, reply, silence, warning, "still there?", renewal, warning, expiry.

    Raises:
        DemoError: the session did something else.

    """
    story = Story(client, out)
    story.create()
    question = story.write("user", "Where is my parcel?")
    story.write("agent", "It left the depot this morning.", answers=question)
    warning = story.wait(26)
    story.write("agent", "Are you still there?", answers=warning)
    story.write("user", "Yes! When will it be here?")
    story.wait(32)
    story.end()


def _message_of(event: Json) -> str | None:
    """The id of the message that an event is about."""
    message = event["data"].get("message")
    return message["id"] if message else None


def _time(about: Json) -> str:
    return str(about["expiresAt"])[11:19]


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
