"""The page of the local stack, in Chromium: what a person sees and does."""

import re
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal

import pytest
from playwright import sync_api as playwright

from tests.e2e.local_process import started
from tests.e2e.serving import Serving, serving
from tests.unit.world import AGENT, BASE, USER

FLAGS: Final = ("--disable-gpu", "--disable-quic", "--disable-dev-shm-usage")
WAIT_SECONDS: Final = 300
"""What takes longer counts as never: the machine may be busy."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("stack"), auth=False) as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[playwright.Browser]:
    program, node = shutil.which("chromium"), shutil.which("node")
    assert program, "make test-needs"
    assert node, "make test-needs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAYWRIGHT_NODEJS_PATH", node)  # the driver's own needs libatomic, which a bare Debian lacks
        driver = playwright.sync_playwright().start()
        launched = driver.chromium.launch(
            executable_path=program, args=FLAGS, chromium_sandbox=False, timeout=WAIT_SECONDS * 1000
        )
        yield launched
        launched.close()
        driver.stop()


@pytest.fixture
def tab(chromium: playwright.Browser) -> Iterator[playwright.Page]:
    """An empty tab in a profile of its own."""
    context = chromium.new_context(viewport={"width": 1360, "height": 900})
    context.set_default_timeout(WAIT_SECONDS * 1000)
    yield context.new_page()
    context.close()


class Page:
    """The page, open in the browser."""

    def __init__(self, tab: playwright.Page, url: str) -> None:
        self.tab = tab
        self.complaints: list[str] = []
        """What the browser found wrong with the page. Answers of 4xx that were asked for are not wrong."""
        tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        tab.on("console", self._hear)
        tab.goto(url)
        self.until(lambda: self.text("#time") != "--:--:--")

    def _hear(self, message: playwright.ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    def all(self, selector: str) -> playwright.Locator:
        return self.tab.locator(selector)

    def text(self, selector: str) -> str:
        return (self.all(selector).text_content() or "").strip()

    def js(self, script: str, argument: Any = None) -> Any:
        return self.tab.evaluate(script, argument)

    def until(self, holds: Callable[[], Any]) -> Any:
        """Wait until it holds, and return what it is."""
        give_up = time.monotonic() + WAIT_SECONDS
        while not (held := holds()):
            assert time.monotonic() < give_up, "this has not come to hold"
            self.tab.wait_for_timeout(50)
        return held

    def click(self, selector: str) -> None:
        self.all(selector).click()

    def fill(self, field: str, text: str) -> None:
        self.all(f"#{field}").fill(text)

    def create(self, **fields: str) -> str:
        """Create a session in the form; its id."""
        before = self.ids()
        for field, text in fields.items():
            self.fill(field, text)
        self.click("#create button.main")
        new = self.until(lambda: self.ids() - before)
        return str(new.pop())

    def ids(self) -> set[str]:
        """The sessions that are shown."""
        return set(self.js("() => Array.from(document.querySelectorAll('.session'), (card) => card.dataset.session)"))

    def card(self, session_id: str) -> str:
        return f'[data-session="{session_id}"]'

    def bar(self, session_id: str) -> float:
        """The length of the bar, in percent."""
        fill = self.all(f"{self.card(session_id)} .fill")
        return float(fill.evaluate("(element) => parseFloat(element.style.width)"))

    def chip(self, session_id: str) -> str:
        return self.text(f"{self.card(session_id)} .chip")

    def details(self, session_id: str) -> str:
        return self.all(f"{self.card(session_id)} dl").inner_text().replace("\n", " ")

    def events(self, session_id: str) -> list[str]:
        """The kinds of the events about a session, oldest first."""
        script = """(id) => Array.from(document.querySelectorAll("#events li")).reverse()
            .filter((item) => item.querySelector(".mono").title === id)
            .map((item) => item.querySelector(".chip").innerText)"""
        return list(self.js(script, session_id))


@pytest.fixture
def page(tab: playwright.Page, stack: Serving) -> Iterator[Page]:
    opened = Page(tab, f"http://127.0.0.1:{stack.port}/")
    yield opened
    assert opened.complaints == []


def test_a_sessions_life_as_a_person_sees_it(page: Page) -> None:
    session_id = page.create(timeout="30", warning="5")
    assert page.chip(session_id) == "live"
    assert page.bar(session_id) > 95

    time = page.text("#date") + page.text("#time")
    page.click('[data-minutes="5"]')
    page.until(lambda: page.text("#date") + page.text("#time") > time and "ahead of real time" in page.text("#ahead"))
    for _ in range(4):
        page.click('[data-minutes="5"]')
    page.until(lambda: page.events(session_id) == ["expiring"])
    page.until(lambda: page.chip(session_id) == "warned")
    short = page.until(lambda: 0 < page.bar(session_id) < 20 and page.bar(session_id))

    page.click(f"{page.card(session_id)} [data-act=renew]")
    page.until(lambda: page.bar(session_id) > 95 > short)
    assert page.chip(session_id) == "live"
    assert "renewals 1" in page.details(session_id)

    page.click('[data-minutes="30"]')
    page.click('[data-minutes="5"]')
    page.until(lambda: page.events(session_id) == ["expiring", "expiring", "expired"])
    page.until(lambda: page.chip(session_id) == "expired (idle timeout)")
    assert page.all(f"#ended {page.card(session_id)}").count() == 1
    assert page.all(f"{page.card(session_id)} [data-act=renew]").is_hidden()

    page.click(f"{page.card(session_id)} [data-act=end]")
    page.until(lambda: session_id not in page.ids())


def test_metadata_shows_as_the_text_that_it_is(page: Page) -> None:
    metadata = (
        '{"note":"<script>document.title = \'gone\'</script><img src=x onerror=alert(1)>","n":12345678901234567890}'
    )
    session_id = page.create(metadata=metadata)
    assert page.text(f"{page.card(session_id)} .metadata") == metadata
    assert page.all(f"{page.card(session_id)} script").count() == 0
    assert page.all(f"{page.card(session_id)} img").count() == 0
    assert page.tab.title() == "agent-sessions, local stack"


def test_ids_that_a_client_sent_are_text_too(page: Page, stack: Serving) -> None:
    reply = stack.send(
        "POST", BASE, {"agentId": AGENT, "userId": USER, "metadata": {"</pre><script>1</script>": "&lt;"}}
    )
    session_id = reply.json["sessionId"]
    page.until(lambda: session_id in page.ids())
    assert page.text(f"{page.card(session_id)} .metadata") == '{"</pre><script>1</script>":"&lt;"}'


def test_what_other_clients_do_appears_by_itself(page: Page, stack: Serving) -> None:
    session_id = stack.send("POST", BASE, {"agentId": AGENT, "userId": USER}).json["sessionId"]
    page.until(lambda: page.chip(session_id) == "live")
    stack.send("POST", f"{BASE}/{session_id}/heartbeat")
    page.until(lambda: "renewals 1" in page.details(session_id))
    stack.send("DELETE", f"{BASE}/{session_id}")
    page.until(lambda: session_id not in page.ids())


def test_what_is_refused_is_said(page: Page) -> None:
    page.fill("timeout", "4")
    page.click("#create button.main")
    page.until(lambda: "400" in page.text("#said") and "timeoutMinutes" in page.text("#said"))
    page.fill("timeout", "")
    page.fill("metadata", "{no json")
    page.click("#create button.main")
    page.until(lambda: "no JSON" in page.text("#said"))


def test_it_goes_with_the_keyboard_alone(page: Page) -> None:
    page.all("#agent").press("Enter")
    page.until(page.ids)
    reached = []
    page.all("header a").first.focus()
    for _ in range(24):
        page.tab.keyboard.press("Tab")
        reached.append(
            page.js(
                "() => { const a = document.activeElement;"
                " return a.dataset.act || a.dataset.minutes || a.id || a.textContent }"
            )
        )
    for wanted in ("1", "5", "30", "next", "agent", "user", "timeout", "metadata", "heartbeat", "renew", "end"):
        assert wanted in reached, reached
    assert page.js("() => getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_to_the_next_event_says_where_nothing_is_due(page: Page, stack: Serving) -> None:
    for session in stack.send("GET", f"{BASE}?limit=100").json["sessions"]:
        stack.send("DELETE", f"{BASE}/{session['sessionId']}")
    page.click("#next")
    page.until(lambda: "Nothing is due" in page.text("#said"))


def test_a_filter_policy_is_set_and_taken_back(page: Page, stack: Serving) -> None:
    page.click("#policy summary")
    page.fill("policy-text", '{"type": ["agent-sessions.session.expired"]}')
    page.click("#filter button.main")
    page.until(lambda: "set" in page.text("#policy-state"))
    session_id = page.create(timeout="5", warning="5")
    page.click('[data-minutes="30"]')
    page.until(lambda: page.events(session_id) == ["expired"])
    page.click("#no-policy")
    page.until(lambda: page.text("#policy-state") == "(none)")
    assert stack.send("GET", "/_local/subscription").json == {"filterPolicy": None}


@pytest.mark.parametrize("width", [320, 390, 768, 1024, 1920])
def test_no_width_needs_to_be_scrolled_sideways(page: Page, width: int) -> None:
    page.create(metadata='{"long":"' + "x" * 300 + '"}')
    page.tab.set_viewport_size({"width": width, "height": 800})
    assert page.until(lambda: page.js("window.innerWidth") == width)
    assert page.js("document.documentElement.scrollWidth") <= width
    assert page.all("#next").is_visible()


CONTRAST: Final = """
(selector) => {
const channels = (color) => color.match(/[\\d.]+/g).map(Number);
const light = (color) => {
  const [r, g, b] = channels(color).map((c) => c / 255)
    .map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const background = (element) => {
  for (let e = element; e; e = e.parentElement) {
    const color = getComputedStyle(e).backgroundColor;
    if ((channels(color)[3] ?? 1) > 0) return color;
  }
  return "rgb(255, 255, 255)";
};
return Array.from(document.querySelectorAll(selector))
  .filter((e) => e.checkVisibility() && e.textContent.trim() && !e.disabled)
  .map((e) => {
    const [one, other] = [light(getComputedStyle(e).color), light(background(e))].sort((a, b) => b - a);
    return [(one + 0.05) / (other + 0.05), e.className || e.id || e.tagName, e.textContent.trim().slice(0, 20)];
  })
  .filter(([ratio]) => ratio < 4.5);
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_it_stands_on(page: Page, scheme: Literal["light", "dark"]) -> None:
    page.tab.emulate_media(color_scheme=scheme)
    session_id = page.create(timeout="30", warning="10")
    page.create(timeout="5", warning="5")
    page.click('[data-minutes="5"]')
    page.click('[data-minutes="1"]')
    page.click('[data-minutes="30"]')
    page.until(lambda: page.events(session_id))
    texts = (
        "h1, h2, h3, p, a, label, button, dt, dd, pre, time, summary, .chip, .left, .mark, .count, #time, #date, #ahead"
    )
    assert page.js(CONTRAST, texts) == []


def test_the_documentation_shows_every_route(tab: playwright.Page, stack: Serving) -> None:
    tab.goto(f"http://127.0.0.1:{stack.port}/docs")
    tab.locator(".opblock").first.wait_for()
    shown = tab.locator("#docs").inner_text()
    for path in ("/heartbeat", "/renew", "/timeout", "/health"):
        assert path in shown


def test_with_keys_the_page_takes_the_one_of_its_address(tab: playwright.Page) -> None:
    with started({"AUTH": "1"}) as process:
        page = Page(tab, f"{process.url}/")
        page.all("#key").wait_for()
        page.click("#create button.main")
        page.until(lambda: "401: Unauthorized" in page.text("#said"))
        found = re.search(r"page +(\S+)", process.text)
        assert found
        tab.goto(f"{process.url}/docs")  # an address that differs in its fragment alone loads nothing
        page = Page(tab, found.group(1))
        assert page.create()
        assert tab.url == f"{process.url}/"
