"""What the local stack posts under FORWARD_TO verifies as what SNS posts, and each kind of tampering is refused."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from agent_sessions_client.events import Confirmation, HttpsReceiver, MessageCreated, Rejected, SessionExpiring

from tests.client.service import AGENT, USER, VirtualClock
from tests.client.test_https import TAMPERED
from tests.e2e.hook import hook
from tests.e2e.serving import BASE, Serving, serving


@dataclass
class Forwarded:
    """A receiver, and the bodies that the stack has posted."""

    stack: Serving
    receiver: HttpsReceiver
    bodies: list[str]


def fetched(address: str) -> bytes:
    return httpx.get(address).raise_for_status().content


@pytest.fixture(scope="module")
def forwarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forwarded]:
    """A conversation that nears its end, as an HTTPS subscriber gets it."""
    folder = tmp_path_factory.mktemp("forwarded")
    with hook() as found, serving(folder, auth=False, forward_to=found.url) as stack:
        asked = found.next()
        receiver = HttpsReceiver(
            [asked.json["TopicArn"]],
            certificate_hosts=[f"127.0.0.1:{stack.port}"],
            fetch=fetched,
            clock=VirtualClock(stack.stack),
        )
        confirmation = receiver.receive(asked.text)
        assert isinstance(confirmation, Confirmation)
        receiver.confirm(confirmation)
        session_id = stack.send("POST", BASE, {"agentId": AGENT, "userId": USER}).json["sessionId"]
        stack.send("POST", f"{BASE}/{session_id}/messages", {"content": "Anybody there?"})
        message = found.next()
        stack.send("POST", "/_local/clock", {"toNextEvent": True})
        yield Forwarded(stack, receiver, [message.text, found.next().text])


def test_what_is_forwarded_comes_in_as_events(forwarded: Forwarded) -> None:
    events = [forwarded.receiver.receive(body) for body in forwarded.bodies]
    assert [type(event) for event in events] == [MessageCreated, SessionExpiring]
    assert [event.raw for event in events if isinstance(event, MessageCreated | SessionExpiring)] == [
        *forwarded.stack.stack.inbox.events()
    ]


@pytest.mark.parametrize("kind", TAMPERED)
def test_what_was_tampered_with_on_the_way_is_rejected(forwarded: Forwarded, kind: str) -> None:
    message: dict[str, Any] = json.loads(forwarded.bodies[0])
    with pytest.raises(Rejected):
        forwarded.receiver.receive(json.dumps(TAMPERED[kind](message)))


def test_one_byte_that_was_changed_is_enough(forwarded: Forwarded) -> None:
    body = forwarded.bodies[0]
    place = body.index("tenantId") + 1
    with pytest.raises(Rejected):
        forwarded.receiver.receive(body[:place] + "E" + body[place + 1 :])


def test_what_was_recorded_and_comes_again_after_an_hour_is_a_replay(forwarded: Forwarded, tmp_path: Path) -> None:
    later = VirtualClock(forwarded.stack.stack, wrong_by_seconds=3700)
    topic = json.loads(forwarded.bodies[1])["TopicArn"]
    host = f"127.0.0.1:{forwarded.stack.port}"
    receiver = HttpsReceiver([topic], certificate_hosts=[host], fetch=fetched, clock=later)
    with pytest.raises(Rejected, match="seconds old"):
        receiver.receive(forwarded.bodies[1])
