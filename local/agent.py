"""An agent on the other end: a subscriber like any other, which answers each user's message through the HTTP API.

It receives the event of a message, reads the conversation, and posts the answer with the event's id as Idempotency-Key:
an event that comes twice gives one reply.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from agent_sessions.api.edge import BASE_PATH
from agent_sessions.events.cloud_events import MESSAGE_CREATED

POLICY: Final = {"type": [MESSAGE_CREATED], "role": ["user"]}
"""What an agent subscribes to."""
_HISTORY: Final = 50
_ANSWERS_AT_A_TIME: Final = 8
_API_SECONDS: Final = 300
_THINK_SECONDS: Final = 120
_TAKEN_OVER: Final = ("parts", "attachments", "metadata")

Json = dict[str, Any]
Respond = Callable[[Json], Json | None]
"""Answers `{"message", "session", "history", "event"}` with `text` or `content`, or with None for no reply."""


class AgentError(Exception):
    """The agent has no answer; the message is the reason."""


class LocalAgent:
    """Takes events, and posts what `respond` makes of each. A failure is shown, and stops no other answer."""

    def __init__(self, respond: Respond, stack_url: str, key: str | None, show: Callable[[str], None]) -> None:
        """Call the API at `stack_url`, with the key where there is one."""
        self._respond = respond
        self._url = stack_url
        self._key = key
        self._show = show
        self._workers = ThreadPoolExecutor(_ANSWERS_AT_A_TIME, thread_name_prefix="agent")

    def stop(self) -> None:
        """Begin no more answers."""
        self._workers.shutdown(wait=False, cancel_futures=True)

    def take(self, body: str) -> None:
        """Answer an event, in a thread of the agent's own."""
        self._workers.submit(self._answer, json.loads(body))

    def _answer(self, event: Json) -> None:
        try:
            self._reply_to(event)
        except Exception as failure:  # noqa: BLE001 - whatever it is, the other sessions get their answers
            self._show(f"  agent    no answer in {event['subject']}: {type(failure).__name__}: {failure}")

    def _reply_to(self, event: Json) -> None:
        message_id = event["data"]["message"]["id"]
        path = f"{self._url}{BASE_PATH}/{event['subject']}"
        session = self._call("GET", path)
        page = self._call("GET", f"{path}/messages?limit={_HISTORY}")
        history = page["messages"][::-1]
        if any(each["role"] == "agent" and each["inReplyTo"] == message_id for each in history):
            return  # the event came before
        message = next((each for each in history if each["id"] == message_id), None)
        if message is None:
            message = self._call("GET", f"{path}/messages/{message_id}")
        reply = self._respond({"message": message, "session": session, "history": history, "event": event})
        if reply is None:
            return
        content = reply.get("content", reply.get("text"))
        if not isinstance(content, str):
            raise AgentError(
                f'an answer must be an object with a string "content" or "text", not {json.dumps(reply)[:200]}'
            )
        body = {"role": "agent", "content": content, "inReplyTo": message_id}
        body |= {name: reply[name] for name in _TAKEN_OVER if name in reply}
        self._call("POST", f"{path}/messages", body, {"idempotency-key": event["id"]})

    def _call(self, method: str, url: str, body: Json | None = None, headers: Mapping[str, str] | None = None) -> Json:
        key = {} if self._key is None else {"x-api-key": self._key}
        return call_json(method, url, body, {**key, **(headers or {})}, _API_SECONDS) or {}


def echo(asked: Json) -> Json:
    """Answer with what was said."""
    return {"content": f"You said: {asked['message']['content']}"}


def agent_at(url: str) -> Respond:
    """Return what asks an agent of one's own: a POST of the question, which its answer answers; 204 is no reply."""

    def respond(asked: Json) -> Json | None:
        return call_json("POST", url, asked, {}, _THINK_SECONDS)

    return respond


def call_json(method: str, url: str, body: Json | None, headers: Mapping[str, str], seconds: float) -> Json | None:
    """Call by HTTP with JSON; return the answer's object, None where it has no body.

    Raises:
        AgentError: the answer is an error, or no JSON object.
        OSError: there was no answer.

    """
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(  # noqa: S310 - the stack's own address, or one that the options have checked
        url, data=data, method=method, headers={"content-type": "application/json", **headers}
    )
    try:
        with _OPENER.open(request, timeout=seconds) as answer:
            text = answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            raise AgentError(
                f"{method} {url} answered {error.code} {error.read().decode(errors='replace')[:300]}"
            ) from None
    if not text.strip():
        return None
    found = json.loads(text)
    if not isinstance(found, dict):
        raise AgentError(f"{method} {url} must answer an object, not {text[:200]}")
    return found


# Without proxies: both addresses are this machine's, or where the caller says that they are.
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
