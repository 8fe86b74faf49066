"""The examples of docs/client.md and of the README run as they are printed, against the local stack."""

import re
from collections.abc import Iterator
from typing import Any, Final
from unittest import mock

import httpx
import pytest

from tests.client.service import Service
from tools.build_client import ROOT

AGENT: Final = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"


def examples(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text("utf-8"), re.DOTALL | re.MULTILINE)


class Answering:
    """The stack, with an agent that answers a question when somebody looks for messages."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def __call__(self, request: httpx.Request) -> httpx.Response:
        messages = re.fullmatch(r"/api/messaging/sessions/([^/]+)/messages", request.url.path)
        if request.method == "GET" and messages:
            agent = self._service.client()
            page = agent.read_messages(messages[1])
            if page.awaiting_reply:
                agent.send_message(messages[1], "On its way.", role="agent", in_reply_to=page.messages[0].id)
        return self._service.answer(request)


@pytest.fixture
def _internet(service: Service) -> Iterator[None]:
    """Whatever the examples connect to is the stack."""
    transport = httpx.MockTransport(Answering(service))
    blocking, awaiting = httpx.Client, httpx.AsyncClient
    with (
        mock.patch("httpx.Client", lambda **options: blocking(**{"transport": transport, **options})),
        mock.patch("httpx.AsyncClient", lambda **options: awaiting(**{"transport": transport, **options})),
    ):
        yield


@pytest.mark.usefixtures("_internet")
@pytest.mark.parametrize("page", ["docs/client.md", "README.md", "clients/python/README.md"])
def test_the_examples_of_a_page_run_one_after_the_other(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for example in examples(page):
        exec(compile(example, page, "exec"), names)  # noqa: S102 - it is what the page prints
    assert "On its way." in capsys.readouterr().out
