"""The examples of docs/client.md and of the client's README run as they are printed, against the local stack."""

import re
from collections.abc import Iterator
from typing import Any, Final
from unittest import mock

import httpx
import pytest

from tests.client.service import USER, Service
from tests.client.test_agent import batch
from tests.client.test_events import event
from tools.build_client import ROOT

AGENT: Final = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"


def examples(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text("utf-8"), re.DOTALL | re.MULTILINE)


class Answering:
    """The stack, with an agent that answers a question when somebody looks for messages."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.is_there = True

    def __call__(self, request: httpx.Request) -> httpx.Response:
        messages = re.fullmatch(r"/api/messaging/sessions/([^/]+)/messages", request.url.path)
        if self.is_there and request.method == "GET" and messages:
            agent = self._service.client()
            page = agent.read_messages(messages[1])
            if page.awaiting_reply:
                agent.send_message(messages[1], "On its way.", role="agent", in_reply_to=page.messages[0].id)
        return self._service.answer(request)


@pytest.fixture
def agent(service: Service) -> Iterator[Answering]:
    """Whatever the examples connect to is the stack."""
    answering = Answering(service)
    transport = httpx.MockTransport(answering)
    blocking, awaiting = httpx.Client, httpx.AsyncClient
    with (
        mock.patch("httpx.Client", lambda **options: blocking(**{"transport": transport, **options})),
        mock.patch("httpx.AsyncClient", lambda **options: awaiting(**{"transport": transport, **options})),
    ):
        yield answering


@pytest.mark.parametrize("page", ["docs/client.md", "clients/python/README.md"])
def test_the_examples_of_a_page_run_one_after_the_other(
    page: str, capsys: pytest.CaptureFixture[str], service: Service, agent: Answering
) -> None:
    names: dict[str, Any] = {}
    for example in examples(page):
        exec(compile(example, page, "exec"), names)  # noqa: S102 - it is what the page prints
    assert "On its way." in capsys.readouterr().out
    if page == "docs/client.md":
        agent.is_there = False
        check_the_handlers(names, service)


def check_the_handlers(names: dict[str, Any], service: Service) -> None:
    """The functions that the page shows do what it says of them."""
    client = service.client()
    session = client.create_session(AGENT, USER)
    about = {name: session.raw[name] for name in ("sessionId", "agentId", "userId", "createdAt", "expiresAt", "endsAt")}
    warning = event("session.expiring", **about, lease=1, reason="idle_timeout", renewable=True)
    for _ in range(2):
        names["renew_what_can_be_renewed"](batch(warning), None)
    assert client.get_session(session.session_id).renewal_count == 1
    message = client.send_message(session.session_id, "hello").message
    said = event("message.created", **about, message=message.raw) | {"id": "an-id"}
    assert names["handler"](batch(said)) == {"batchItemFailures": []}
    [reply] = client.read_messages(session.session_id, after_sequence=1).messages
    assert reply.content == "You have said 1 things so far."
