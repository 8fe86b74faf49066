"""An agent behind an HTTPS subscription, as an ASGI application."""

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from agent_sessions_client.agent.core import Agent
from agent_sessions_client.errors import ClientError
from agent_sessions_client.events import Confirmation, Event, HttpsReceiver, MalformedEvent, Rejected

log = logging.getLogger("agent_sessions_client")

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LARGEST_BODY = 512 * 1024
"""SNS sends up to 256 KB, which its envelope may escape."""


class HttpsAgent:
    """Verifies what SNS posts, and hands it to the agent in a thread.

    SNS waits fifteen seconds for an answer and repeats the event after that. A repeat of an event that is still being
    answered gets a 503, so that SNS asks again later and nothing is lost. An agent that usually takes longer belongs
    behind a queue.
    """

    def __init__(self, agent: Agent, receiver: HttpsReceiver) -> None:
        self._agent = agent
        self._receiver = receiver
        self._under_way: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as servers of ASGI ask for it."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            status = 405 if scope["method"] != "POST" else await self._answer(receive)
            await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
        else:
            message = f"this application serves http, not {scope['type']}"
            raise ValueError(message)

    async def _answer(self, receive: Receive) -> int:
        import asyncio  # noqa: PLC0415 - whoever comes here has loaded it

        body = await _body(receive)
        if body is None:
            return 413
        try:
            received = await asyncio.to_thread(self._receiver.receive, body)
            if isinstance(received, Confirmation):
                await asyncio.to_thread(self._receiver.confirm, received)
                return 200
            return 200 if received is None else await self._handled(received)
        except Rejected as error:
            log.warning("a message was rejected: %s", error)
            return 403
        except MalformedEvent as error:
            log.warning("a message holds no event: %s", error)
            return 400

    async def _handled(self, event: Event) -> int:
        import asyncio  # noqa: PLC0415 - whoever comes here has loaded it

        if event.id in self._under_way:
            return 503
        self._under_way.add(event.id)
        try:
            await asyncio.to_thread(self._agent.handle, event)
        except ClientError as error:
            log.warning("event %s could not be answered: %s", event.id, error)
            return 503
        except Exception:
            log.exception("event %s could not be answered", event.id)
            return 500
        finally:
            self._under_way.discard(event.id)
        return 200


async def _body(receive: Receive) -> bytes | None:
    """Return the body, None where it is too long."""
    body = b""
    more = True
    while more and len(body) <= LARGEST_BODY:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return None if len(body) > LARGEST_BODY else body


async def _live(receive: Receive, send: Send) -> None:
    """Take part in the start and the end of the server, which ask nothing of this application."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
