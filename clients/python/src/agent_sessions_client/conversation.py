"""A conversation: a session that stays alive while it is used.

`_keeping` has the rules; here a thread or a task follows them.
"""

import contextlib
import functools
import logging
import queue
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from inspect import isawaitable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

from agent_sessions_client._calls import Calls
from agent_sessions_client._keeping import Keeper
from agent_sessions_client._opening import Ended, Event, Expiring, Opening
from agent_sessions_client._steps import Operation
from agent_sessions_client.models import Message, Session
from agent_sessions_client.timestamps import Clock

if TYPE_CHECKING:
    import asyncio

__all__ = ["AsyncConversation", "Conversation", "Ended", "Event", "Expiring", "Opening"]

P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger("agent_sessions_client")


class _Run(Protocol):
    def __call__(self, operation: Operation[T]) -> T: ...


class _RunAsync(Protocol):
    def __call__(self, operation: Operation[T]) -> Awaitable[T]: ...


def _callback(opening: Opening, event: Event) -> Callable[[Any], Any] | None:
    if isinstance(event, Message):
        return opening.on_message
    return opening.on_expiring if isinstance(event, Expiring) else opening.on_end


def _blocking(call: Callable[Concatenate[Keeper, P], Operation[T]]) -> "Callable[Concatenate[Conversation, P], T]":
    @functools.wraps(call)
    def method(talk: "Conversation", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return talk.run(call(talk.keeper, *args, **kwargs))

    return method


def _awaited(
    call: Callable[Concatenate[Keeper, P], Operation[T]],
) -> "Callable[Concatenate[AsyncConversation, P], Coroutine[Any, Any, T]]":
    @functools.wraps(call)
    async def method(talk: "AsyncConversation", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await talk.run(call(talk.keeper, *args, **kwargs))

    return method


class Conversation:
    """A conversation in a `with` block. Leaving the block stops the heartbeats and lets the session be."""

    def __init__(self, run: _Run, calls: Calls, clock: Clock, opening: Opening) -> None:
        self.run = run
        self._clock = clock
        self._opening = opening
        self.keeper = Keeper(calls, clock, opening)
        self._is_closing = False
        self._wake = threading.Event()
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def session(self) -> Session:
        """The session as it was last seen."""
        return self.keeper.session

    @property
    def ended(self) -> Ended | None:
        """How the conversation ended, or None."""
        return self.keeper.ended

    def __enter__(self) -> "Conversation":
        self.run(self.keeper.open())
        if self._opening.background:
            self._thread = threading.Thread(target=self._keep, name="agent-sessions-conversation", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop keeping the session alive. The session itself lives on until it expires."""
        self._is_closing = True
        self._wake.set()
        self._events.put(None)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def active(self) -> None:
        """Call this when the user does something: types, scrolls, speaks.

        It is cheap: at most one heartbeat per `renew_after` follows.
        """
        self.keeper.active()

    send = _blocking(Keeper.send)
    ask = _blocking(Keeper.ask)
    reply_to = _blocking(Keeper.reply_to)

    def events(self) -> Iterator[Event]:
        """Iterate over messages, warnings and the end, as they come. The iteration ends with the conversation."""
        self.keeper.listening = True
        self._wake.set()
        return self._iterate()

    def step(self) -> float:
        """Do the one thing that is due, if any, and return the seconds until the next call.

        For conversations without `background`.
        """
        rest = self.run(self.keeper.step())
        events, self.keeper.events = self.keeper.events, []
        for event in events:
            if self.keeper.listening or not isinstance(event, Message):
                self._events.put(event)
            callback = _callback(self._opening, event)
            if callback is not None:
                callback(event)
        return rest

    def _iterate(self) -> Iterator[Event]:
        while True:
            if self._thread is None:
                while self._events.empty() and not self._is_closing:
                    rest = self.step()
                    if self._events.empty():
                        self._clock.sleep(rest)
            event = self._events.get()
            if event is None:
                return
            yield event
            if isinstance(event, Ended):
                return

    def _keep(self) -> None:
        while not self._is_closing and self.keeper.ended is None:
            try:
                rest = self.step()
            except Exception:
                log.exception("a callback of the conversation failed")
                rest = 0.0
            self._wake.wait(rest)
            self._wake.clear()


class AsyncConversation:
    """A conversation in an `async with` block. Leaving the block stops the heartbeats and lets the session be."""

    def __init__(self, run: _RunAsync, calls: Calls, clock: Clock, opening: Opening) -> None:
        self.run = run
        self._clock = clock
        self._opening = opening
        self.keeper = Keeper(calls, clock, opening)
        self._events: asyncio.Queue[Event | None]
        self._wake: asyncio.Event
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def session(self) -> Session:
        """The session as it was last seen."""
        return self.keeper.session

    @property
    def ended(self) -> Ended | None:
        """How the conversation ended, or None."""
        return self.keeper.ended

    async def __aenter__(self) -> "AsyncConversation":
        import asyncio  # noqa: PLC0415 - whoever comes here has loaded it

        self._events = asyncio.Queue()
        self._wake = asyncio.Event()
        await self.run(self.keeper.open())
        if self._opening.background:
            self._task = asyncio.create_task(self._keep())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop keeping the session alive. The session itself lives on until it expires."""
        import asyncio  # noqa: PLC0415 - whoever comes here has loaded it

        self._closed = True  # a callback may swallow the cancellation, and so may Python 3.11's `asyncio.wait_for`
        self._wake.set()
        self._events.put_nowait(None)
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
            await asyncio.wait([self._task])

    def active(self) -> None:
        """Call this when the user does something: types, scrolls, speaks.

        It is cheap: at most one heartbeat per `renew_after` follows.
        """
        self.keeper.active()

    send = _awaited(Keeper.send)
    ask = _awaited(Keeper.ask)
    reply_to = _awaited(Keeper.reply_to)

    def events(self) -> AsyncIterator[Event]:
        """Iterate over messages, warnings and the end, as they come. The iteration ends with the conversation."""
        self.keeper.listening = True
        self._wake.set()
        return self._iterate()

    async def step(self) -> float:
        """Do the one thing that is due, if any, and return the seconds until the next call.

        For conversations without `background`.
        """
        rest = await self.run(self.keeper.step())
        events, self.keeper.events = self.keeper.events, []
        for event in events:
            if self.keeper.listening or not isinstance(event, Message):
                self._events.put_nowait(event)
            callback = _callback(self._opening, event)
            done = None if callback is None else callback(event)
            if isawaitable(done):
                await done
        return rest

    async def _iterate(self) -> AsyncIterator[Event]:
        while True:
            if self._task is None:
                while self._events.empty():
                    rest = await self.step()
                    if self._events.empty():
                        await self._clock.sleep_async(rest)
            event = await self._events.get()
            if event is None:
                return
            yield event
            if isinstance(event, Ended):
                return

    async def _keep(self) -> None:
        import asyncio  # noqa: PLC0415 - whoever comes here has loaded it

        while self.keeper.ended is None and not self._closed:
            try:
                rest = await self.step()
            except Exception:
                log.exception("a callback of the conversation failed")
                rest = 0.0
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._wake.wait(), rest)
            self._wake.clear()
