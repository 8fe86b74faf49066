"""`examples/web_chat` in Chromium, against the local stack."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import pytest
from playwright import sync_api as playwright

from tests.e2e.serving import Serving, serving
from tests.unit.world import BASE

CHAT: Final = Path(__file__).resolve().parents[2] / "examples" / "web_chat"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("stack"), auth=False, agent="echo") as running:
        yield running


@pytest.fixture
def address(stack: Serving) -> Iterator[str]:
    """Where the chat is, as `python3 -m http.server` serves it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(CHAT))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/?api=http://127.0.0.1:{stack.port}"
        server.shutdown()
        thread.join()


def test_a_visitor_talks_returns_stays_and_leaves(tab: playwright.Page, address: str, stack: Serving) -> None:
    problems: list[str] = []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.goto(address)
    words = tab.locator("#log li")
    tab.fill("#words", "Where is <b>my parcel</b>?")
    tab.press("#words", "Enter")
    playwright.expect(words.first).to_have_text("Where is <b>my parcel</b>?")
    [session] = stack.send("GET", BASE).json["sessions"]
    said = ["Where is <b>my parcel</b>?", "You said: Where is <b>my parcel</b>?"]
    playwright.expect(words).to_have_text(said)

    tab.reload()
    playwright.expect(words).to_have_text(said)
    playwright.expect(tab.locator("#still")).to_be_hidden()

    stack.send("POST", "/_local/clock", {"advanceMinutes": 11})
    playwright.expect(tab.get_by_text("Are you still there?")).to_be_visible()
    tab.click("#still button")
    playwright.expect(tab.locator("#still")).to_be_hidden()
    assert stack.send("GET", f"{BASE}/{session['sessionId']}").json["renewalCount"] == 2

    stack.send("POST", "/_local/clock", {"advanceMinutes": 20})
    playwright.expect(tab.locator("#over")).to_be_visible()
    playwright.expect(tab.locator("form")).to_be_hidden()
    tab.click("#over button")
    playwright.expect(tab.locator("form")).to_be_visible()
    playwright.expect(words).to_have_count(0)
    assert stack.send("GET", BASE).json["sessions"][0]["userId"] == session["userId"]
    assert problems == []
