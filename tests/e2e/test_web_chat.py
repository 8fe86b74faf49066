"""`examples/web_chat` in Chromium, against the local stack."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import pytest
from playwright import sync_api as playwright

from tests.e2e.serving import Serving, serving
from tests.unit.world import BASE

CHAT: Final = Path(__file__).resolve().parents[2] / "examples" / "web_chat"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Serving]:
    with serving(tmp_path, auth=False, agent="echo") as running:
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


def hold(tab: playwright.Page, matches: Callable[[str], bool]) -> list[playwright.Route]:
    """Keep requests to these addresses back; each goes on with `continue_`."""
    held: list[playwright.Route] = []

    def keep(route: playwright.Route) -> None:
        held.append(route)

    tab.route(matches, keep)
    return held


def test_a_visitor_who_writes_before_there_is_a_session_is_heard_once(
    stack: Serving, address: str, tab: playwright.Page
) -> None:
    held = hold(tab, lambda url: url.endswith(BASE))
    with tab.expect_request(lambda request: request.method == "POST"):
        tab.goto(address)
    tab.fill("#words", "early")
    tab.press("#words", "Enter")
    tab.press("#words", "Enter")
    for route in held:
        route.continue_()
    playwright.expect(tab.locator("#log li")).to_have_text(["early", "You said: early"])
    playwright.expect(tab.locator("#words")).to_have_value("")
    [session] = stack.send("GET", BASE).json["sessions"]
    messages = stack.send("GET", f"{BASE}/{session['sessionId']}/messages?afterSequence=0").json["messages"]
    assert [message["content"] for message in messages] == ["early", "You said: early"]


def test_a_visitor_whose_earlier_session_is_gone_is_heard_in_a_new_one(address: str, tab: playwright.Page) -> None:
    tab.goto(address)
    tab.evaluate("localStorage.setItem('session', '4b1d3c52-0000-4000-8000-000000000000')")
    held = hold(tab, lambda url: "/4b1d3c52" in url and not url.endswith("/messages"))
    tab.reload()
    tab.fill("#words", "back again")
    tab.press("#words", "Enter")
    playwright.expect(tab.locator("#log li")).to_have_text(["back again", "You said: back again"])
    for route in held:
        route.continue_()
    playwright.expect(tab.locator("#problem")).to_be_empty()


def test_on_a_phone_the_last_word_the_question_and_the_form_stay_in_sight(
    stack: Serving, address: str, tab: playwright.Page
) -> None:
    tab.set_viewport_size({"width": 390, "height": 844})
    tab.goto(address)
    tab.fill("#words", "first")
    tab.press("#words", "Enter")
    playwright.expect(tab.locator("#log li")).to_have_count(2)
    [session] = stack.send("GET", BASE).json["sessions"]
    messages = f"{BASE}/{session['sessionId']}/messages"
    for number in range(20):
        stack.send("POST", messages, {"content": f"word {number}", "role": "agent"})
    playwright.expect(tab.locator("#log li").last).to_be_in_viewport()
    playwright.expect(tab.locator("#log li").last).to_have_text("word 19")
    playwright.expect(tab.locator("#words")).to_be_in_viewport(ratio=1)
    stack.send("POST", "/_local/clock", {"advanceMinutes": 11})
    playwright.expect(tab.locator("#still")).to_be_in_viewport(ratio=1)
    playwright.expect(tab.locator("#log li").last).to_be_in_viewport(ratio=0.9)
    playwright.expect(tab.locator("#words")).to_be_in_viewport(ratio=1)


def test_a_visitor_talks_returns_stays_and_leaves(stack: Serving, address: str, tab: playwright.Page) -> None:
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
