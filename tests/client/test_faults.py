"""Two thousand sends through bad weather: each message is stored exactly once, in order."""

from collections.abc import Iterator
from typing import Final
from unittest import mock

import pytest
from agent_sessions_client import SessionsClient

from local.stream import StreamMapping
from tests.client.service import AGENT, PATIENT, USER, Killed, ManualClock, Service, Weather

SENDS: Final = 2_000


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The stack without its publisher: what counts here is what is stored, and moto takes long for 2,000 events."""
    silent = mock.patch.multiple(StreamMapping, start=mock.DEFAULT, deliver=mock.DEFAULT, wake=mock.DEFAULT)
    with silent, Service.running(tmp_path_factory.mktemp("service")) as running:
        yield running


def survivors(make: "Weather", service: Service) -> Iterator[SessionsClient]:
    """Yield a client, and a new one each time the caller asks again, as after a crash."""
    while True:
        yield service.client(make, clock=ManualClock(), patience=PATIENT)


def test_every_message_is_stored_exactly_once_and_in_order_through_faults_and_crashes(service: Service) -> None:
    weather = Weather(service.answer, seed=7)
    clients = survivors(weather, service)
    client = next(clients)
    session = service.client().create_session(AGENT, USER)
    number = 0
    while number < SENDS:
        # What a careful program does: its own key for each piece of work, so that its next run goes on with it.
        try:
            client.send_message(session.session_id, f"line {number}", idempotency_key=f"line-{number}")
            number += 1
        except Killed:
            client = next(clients)
    stored = list(service.client().list_messages(session.session_id))
    assert [message.content for message in stored] == [f"line {number}" for number in range(SENDS)]
    assert [message.sequence for message in stored] == list(range(1, SENDS + 1))
    assert weather.met == {"none", *Weather.BEFORE, *Weather.AFTER}
