"""A session of the OpenAI Agents SDK, kept by agent-sessions: with expiry, warnings and tenants.

Needs the extra `openai-agents`. An item of the SDK is a message, with the item in its parts; an item that is too large
for one message lies in pieces over several. Items are stored in batches, and `pop_item` and `clear_session` empty
messages, so the API key needs the scope `full`.
"""

import asyncio
import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

from agents.memory.session_settings import SessionSettings, coerce_session_settings, resolve_session_limit

from agent_sessions_client.client import SessionsClient
from agent_sessions_client.errors import SessionExpired, SessionNotFound
from agent_sessions_client.models import Message, NewMessage, Role

T = TypeVar("T")

NAMES: Final = uuid.UUID("c2a52c1e-3b5a-5a57-8d53-1de3b8a0b8f4")
"""The space in which names become UUIDs. It never changes: the ids of all users would."""
LONGEST_CONTENT: Final = 4_000
_LARGEST_ITEM: Final = 30_000
"""Bytes of an item that fits into a message of 32 KB, with its wrapping."""
_PIECE: Final = 15_000
"""Characters of a piece. Quotes and backslashes in it take two bytes."""
_LARGEST_BATCH: Final = 25
_LARGEST_BATCH_BYTES: Final = 1_000_000
"""Bytes of the messages of one request, which may have 1 MB."""
_LONGEST_KEY: Final = 255
_MARK: Final = "openaiAgents"


@dataclass(frozen=True)
class _Stored:
    """An item, and the messages in which it lies."""

    item: Any
    message_ids: tuple[str, ...]


class AgentSession:
    """A session for `Runner.run(..., session=...)`. Several processes may use the same one.

    `session_id` is a name of your choice. It is the idempotency key of the session, so that the same name means the
    same session everywhere in the tenant.
    """

    session_settings: SessionSettings | None

    def __init__(
        self,
        session_id: str,
        client: SessionsClient,
        *,
        agent_id: str = "agent",
        user_id: str = "user",
        session_settings: SessionSettings | dict[str, Any] | None = None,
        on_expired: Literal["raise", "new"] = "raise",
        timeout_minutes: float | None = None,
        max_duration_minutes: float | None = None,
    ) -> None:
        """Use the session of this name; it is created with the first call that needs it.

        Where it has expired, `on_expired` decides: raise SessionExpired, or begin anew, without what was said before.
        """
        self.session_id = session_id
        self.session_settings = (
            SessionSettings() if session_settings is None else coerce_session_settings(session_settings)
        )
        self._name = session_id
        self._client = client
        self._agent_id = agent_id
        self._user_id = user_id
        self._begins_anew = on_expired == "new"
        self._timeout_minutes = timeout_minutes
        self._max_duration_minutes = max_duration_minutes
        self._own_id: str | None = None

    async def get_items(self, limit: int | None = None) -> list[Any]:
        """Return the items, oldest first; with a limit the last ones. A negative limit is none."""
        wanted = resolve_session_limit(limit, self.session_settings)

        def read(own_id: str) -> list[Any]:
            items: list[Any] = []
            for stored in self._newest_first(own_id) if wanted != 0 else ():
                items.append(stored.item)
                if len(items) == wanted:
                    break
            return items[::-1]

        return await _finished(lambda: self._with_session(read))

    async def add_items(self, items: list[Any]) -> None:
        """Store the items in this order, each exactly once; up to 25 messages and 1 MB of them all or none."""
        batches = _batches(message for item in items for message in _messages(item))

        def write(own_id: str) -> None:
            for batch in batches:
                if len(batch) == 1:  # a transaction costs twice as much
                    self._client.send_message(own_id, **batch[0])
                else:
                    self._client.send_batch(own_id, batch)

        if batches:
            await _finished(lambda: self._with_session(write))

    async def pop_item(self) -> Any | None:  # noqa: ANN401 - the SDK's items are dictionaries of many kinds
        """Remove the last item and return it. Of several callers, each item goes to one."""

        def pop(own_id: str) -> Any | None:  # noqa: ANN401 - items have no common type
            for stored in self._newest_first(own_id):
                emptied = [self._client.redact_message(own_id, each) for each in stored.message_ids]
                if emptied[0]:
                    return stored.item
            return None

        return await _finished(lambda: self._with_session(pop))

    async def clear_session(self) -> None:
        """Remove all items."""
        await _finished(lambda: self._with_session(self._client.redact_messages))

    def _newest_first(self, own_id: str) -> Iterator[_Stored]:
        """Yield the items from the last to the first. What is left of an item that was not stored whole is passed."""
        pieces: dict[str, dict[int, Message]] = {}
        for message in self._client.list_messages(own_id, newest_first=True):
            mark = message.metadata.get(_MARK)
            if not isinstance(mark, Mapping) or not message.parts:
                continue  # somebody else's message
            if "of" not in mark:
                yield _Stored(message.parts[0]["item"], (message.id,))
                continue
            found = pieces.setdefault(mark["item"], {})
            found[mark["piece"]] = message
            if len(found) == mark["of"]:
                whole = [found[number] for number in range(mark["of"])]
                text = "".join(each.parts[0]["piece"] for each in whole)
                yield _Stored(json.loads(text), tuple(each.id for each in whole))

    def _with_session(self, call: Callable[[str], T]) -> T:
        try:
            return call(self._open())
        except (SessionExpired, SessionNotFound):
            self._own_id = None
            if not self._begins_anew:
                raise
        return call(self._open())

    def _open(self) -> str:
        if self._own_id is None:
            try:
                self._own_id = self._create()
            except SessionExpired as error:
                if not self._begins_anew:
                    raise
                self._client.delete_session(error.details["sessionId"])  # it is in the way of a new one of its name
                self._own_id = self._create()
        return self._own_id

    def _create(self) -> str:
        names = {"session": self._name, "agent": self._agent_id, "user": self._user_id}
        return self._client.create_session(
            _uuid("agent", self._agent_id),
            _uuid("user", self._user_id),
            metadata={_MARK: names},
            timeout_minutes=self._timeout_minutes,
            max_duration_minutes=self._max_duration_minutes,
            idempotency_key=_key(self._name),
        ).session_id


def _batches(messages: Iterable[NewMessage]) -> list[list[NewMessage]]:
    """Divide messages into requests, in order: each as full as it may be."""
    batches: list[list[NewMessage]] = []
    room = 0
    for message in messages:
        size = len(json.dumps(message))
        if not batches or len(batches[-1]) == _LARGEST_BATCH or size > room:
            batches.append([])
            room = _LARGEST_BATCH_BYTES
        batches[-1].append(message)
        room -= size
    return batches


def _messages(item: Any) -> list[NewMessage]:  # noqa: ANN401 - the SDK's items are dictionaries of many kinds
    """Return what is sent to store an item: one message, or one for each piece."""
    content, role = _words(item), _role(item)
    try:
        size = len(json.dumps(item, ensure_ascii=False, allow_nan=False).encode())
    except (ValueError, UnicodeEncodeError):  # NaN, half a character: not in JSON, but in the SDK's items
        size = _LARGEST_ITEM + 1
    key = uuid.uuid4().hex
    if size <= _LARGEST_ITEM:
        parts = [{"item": item}]
        return [{"content": content, "role": role, "parts": parts, "metadata": {_MARK: {"item": key}}}]
    text = json.dumps(item)
    pieces = [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]
    return [
        {
            "content": content if number == 0 else "",
            "role": role,
            "parts": [{"piece": piece}],
            "metadata": {_MARK: {"item": key, "piece": number, "of": len(pieces)}},
        }
        for number, piece in enumerate(pieces)
    ]


def _role(item: Any) -> Role:  # noqa: ANN401 - items have no common type
    role = item.get("role") if isinstance(item, Mapping) else None
    if role == "user":
        return "user"
    if role in {"system", "developer"}:
        return "system"
    kind = str(item.get("type", "")) if isinstance(item, Mapping) else ""
    return "tool" if kind.endswith("_output") else "agent"


def _words(item: Any) -> str:  # noqa: ANN401 - items have no common type
    """Return what a person would read of an item, clipped: the whole item is in the message's parts."""
    words = ""
    if isinstance(item, Mapping):
        content = item.get("content")
        if isinstance(content, list):
            texts = [part.get("text") for part in content if isinstance(part, Mapping)]
            content = "".join(text for text in texts if isinstance(text, str))
        words = next((each for each in (content, item.get("output"), item.get("name")) if isinstance(each, str)), "")
    clipped = words.replace("\0", "").encode("utf-16-le", "surrogatepass")[: 2 * LONGEST_CONTENT]
    return clipped.decode("utf-16-le", "ignore")


def _uuid(kind: str, name: str) -> uuid.UUID:
    return uuid.uuid5(NAMES, f"{kind}\n{name}")


def _key(name: str) -> str:
    is_key = 0 < len(name) <= _LONGEST_KEY and name.isascii() and name.isprintable() and " " not in name
    return name if is_key else str(_uuid("session", name))


async def _finished(work: Callable[[], T]) -> T:
    """Do the work in a thread, and wait for its end even where the caller is cancelled: what was begun is known."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:  # noqa: PERF203 - a call to a service is in the loop
            cancelled = error
    if cancelled is not None:
        task.exception()  # it is seen
        raise cancelled
    return task.result()
