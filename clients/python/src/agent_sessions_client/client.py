"""The two clients. Each call is written once, in `_calls`; here it becomes a method that blocks or is awaited."""

import functools
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from agent_sessions_client._caller import Slice
from agent_sessions_client._calls import Calls
from agent_sessions_client._http import Address, AsyncDriver, SyncDriver
from agent_sessions_client._retries import Patience
from agent_sessions_client._steps import Operation
from agent_sessions_client.conversation import AsyncConversation, Conversation, Opening
from agent_sessions_client.timestamps import Clock, ServerTime, SystemClock

if TYPE_CHECKING:
    import httpx

P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C")


def _blocking(call: Callable[Concatenate[Calls, P], Operation[T]]) -> "Callable[Concatenate[SessionsClient, P], T]":
    @functools.wraps(call)
    def method(client: "SessionsClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return client.run(call(client.calls, *args, **kwargs))

    return method


def _awaited(
    call: Callable[Concatenate[Calls, P], Operation[T]],
) -> "Callable[Concatenate[AsyncSessionsClient, P], Coroutine[Any, Any, T]]":
    @functools.wraps(call)
    async def method(client: "AsyncSessionsClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await client.run(call(client.calls, *args, **kwargs))

    return method


def _iterated(
    call: Callable[Concatenate[Calls, P], Operation[Slice[T]]],
) -> "Callable[Concatenate[SessionsClient, P], Iterator[T]]":
    @functools.wraps(call)
    def method(client: "SessionsClient", /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        part = client.run(call(client.calls, *args, **kwargs))
        while True:
            yield from part.items
            if part.rest is None:
                return
            part = client.run(part.rest())

    return method


def _iterated_async(
    call: Callable[Concatenate[Calls, P], Operation[Slice[T]]],
) -> "Callable[Concatenate[AsyncSessionsClient, P], AsyncIterator[T]]":
    @functools.wraps(call)
    async def method(client: "AsyncSessionsClient", /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        part = await client.run(call(client.calls, *args, **kwargs))
        while True:
            for item in part.items:
                yield item
            if part.rest is None:
                return
            part = await client.run(part.rest())

    return method


def _opened(
    opening: Callable[Concatenate[Calls, P], Opening],
) -> "Callable[Concatenate[SessionsClient, P], Conversation]":
    @functools.wraps(opening)
    def method(client: "SessionsClient", /, *args: P.args, **kwargs: P.kwargs) -> Conversation:
        return Conversation(client.run, client.calls, client.clock, opening(client.calls, *args, **kwargs))

    return method


def _opened_async(
    opening: Callable[Concatenate[Calls, P], Opening],
) -> "Callable[Concatenate[AsyncSessionsClient, P], AsyncConversation]":
    @functools.wraps(opening)
    def method(client: "AsyncSessionsClient", /, *args: P.args, **kwargs: P.kwargs) -> AsyncConversation:
        return AsyncConversation(client.run, client.calls, client.clock, opening(client.calls, *args, **kwargs))

    return method


class _Client:
    """What both clients are made of."""

    def __init__(
        self,
        patience: Patience | None,
        clock: Clock | None,
        draw: Callable[[], float],
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self.server_time = ServerTime(self.clock)
        self.calls = Calls(patience or Patience(), self.clock, self.server_time, draw)


class SessionsClient(_Client):
    """The client for programs that block. Threads may share it."""

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        patience: Patience | None = None,
        http: "httpx.Client | None" = None,
        clock: Clock | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Talk to the deployment at `url`.

        `patience` bounds the time of a call. `http` is a client of httpx with settings of your own: proxies,
        certificates. `clock` and `draw`, which gives random numbers from 0 to 1, are there for tests.
        """
        super().__init__(patience, clock, draw)
        self._driver = SyncDriver(Address(url, api_key), self.clock, http)

    def run(self, operation: Operation[T]) -> T:
        """Carry out a call of `calls`."""
        return self._driver.run(operation)

    def close(self) -> None:
        """Close the connections."""
        self._driver.close()

    def __enter__(self) -> "SessionsClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    create_session = _blocking(Calls.create_session)
    get_session = _blocking(Calls.get_session)
    session_of_key = _blocking(Calls.session_of_key)
    list_sessions = _iterated(Calls.list_sessions)
    heartbeat = _blocking(Calls.heartbeat)
    renew = _blocking(Calls.renew)
    update_metadata = _blocking(Calls.update_metadata)
    update_timeouts = _blocking(Calls.update_timeouts)
    delete_session = _blocking(Calls.delete_session)
    send_message = _blocking(Calls.send_message)
    send_batch = _blocking(Calls.send_batch)
    read_messages = _blocking(Calls.read_messages)
    list_messages = _iterated(Calls.list_messages)
    get_message = _blocking(Calls.get_message)
    redact_message = _blocking(Calls.redact_message)
    redact_messages = _blocking(Calls.redact_messages)
    export_session = _iterated(Calls.export_session)
    set_policy = _blocking(Calls.set_policy)
    get_policy = _blocking(Calls.get_policy)
    delete_policy = _blocking(Calls.delete_policy)
    list_policies = _iterated(Calls.list_policies)
    erase_user = _blocking(Calls.erase_user)
    get_erasure = _blocking(Calls.get_erasure)
    health = _blocking(Calls.health)
    conversation = _opened(Opening.of_session)
    start = _opened(Opening.of_new_session)


class AsyncSessionsClient(_Client):
    """The client for programs with an event loop."""

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        patience: Patience | None = None,
        http: "httpx.AsyncClient | None" = None,
        clock: Clock | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Talk to the deployment at `url`. The parameters are those of SessionsClient."""
        super().__init__(patience, clock, draw)
        self._driver = AsyncDriver(Address(url, api_key), self.clock, http)

    async def run(self, operation: Operation[T]) -> T:
        """Carry out a call of `calls`."""
        return await self._driver.run(operation)

    async def close(self) -> None:
        """Close the connections."""
        await self._driver.close()

    async def __aenter__(self) -> "AsyncSessionsClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    create_session = _awaited(Calls.create_session)
    get_session = _awaited(Calls.get_session)
    session_of_key = _awaited(Calls.session_of_key)
    list_sessions = _iterated_async(Calls.list_sessions)
    heartbeat = _awaited(Calls.heartbeat)
    renew = _awaited(Calls.renew)
    update_metadata = _awaited(Calls.update_metadata)
    update_timeouts = _awaited(Calls.update_timeouts)
    delete_session = _awaited(Calls.delete_session)
    send_message = _awaited(Calls.send_message)
    send_batch = _awaited(Calls.send_batch)
    read_messages = _awaited(Calls.read_messages)
    list_messages = _iterated_async(Calls.list_messages)
    get_message = _awaited(Calls.get_message)
    redact_message = _awaited(Calls.redact_message)
    redact_messages = _awaited(Calls.redact_messages)
    export_session = _iterated_async(Calls.export_session)
    set_policy = _awaited(Calls.set_policy)
    get_policy = _awaited(Calls.get_policy)
    delete_policy = _awaited(Calls.delete_policy)
    list_policies = _iterated_async(Calls.list_policies)
    erase_user = _awaited(Calls.erase_user)
    get_erasure = _awaited(Calls.get_erasure)
    health = _awaited(Calls.health)
    conversation = _opened_async(Opening.of_session)
    start = _opened_async(Opening.of_new_session)
