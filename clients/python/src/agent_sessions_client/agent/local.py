"""An agent beside `make run`: it asks the local stack for its events."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from agent_sessions_client.agent.core import Agent
from agent_sessions_client.events import parse
from agent_sessions_client.timestamps import Clock, SystemClock

log = logging.getLogger("agent_sessions_client")

ATTEMPTS = 3
"""SNS delivers an event four times by default before it gives up."""


def run_beside_local_stack(
    agent: Agent,
    url: str = "http://127.0.0.1:3000",
    *,
    poll_seconds: float = 0.5,
    fetch: Callable[[str], Mapping[str, Any]] | None = None,
    clock: Clock | None = None,
    until: Callable[[], bool] = lambda: False,
) -> None:
    """Hand every event of the local stack at `url` to the agent, until Ctrl-C, or until `until` returns true.

    Events from before the start are handled too: a message that has its reply is not answered again.
    """
    fetched, clock = fetch or _fetched, clock or SystemClock()
    attempts: Counter[str] = Counter()
    try:
        while not until():
            for body in fetched(f"{url.rstrip('/')}/_local/events")["events"]:
                if attempts[body["id"]] >= ATTEMPTS:
                    continue
                try:
                    agent.handle(parse(body))
                    attempts[body["id"]] = ATTEMPTS
                except Exception:
                    log.exception("event %s could not be answered", body["id"])
                    attempts[body["id"]] += 1
            clock.sleep(poll_seconds)
    except KeyboardInterrupt:
        pass


def _fetched(address: str) -> Mapping[str, Any]:
    import httpx  # noqa: PLC0415 - slow to import

    answer = httpx.get(address, timeout=10)
    answer.raise_for_status()
    content: Mapping[str, Any] = answer.json()
    return content
