"""The page of the local stack, in Chromium: what a person sees and does."""

import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.e2e.local_process import started
from tests.e2e.serving import Serving, serving
from tests.unit.world import AGENT, BASE, USER

FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
WAIT_SECONDS: Final = 30


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("stack"), auth=False) as running:
        yield running


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.binary_location = next(filter(None, map(shutil.which, BROWSERS)), "")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


class Page:
    """The page, open in the browser."""

    def __init__(self, browser: webdriver.Chrome, url: str) -> None:
        self.browser = browser
        self.size(1360, 900)
        browser.get(url)
        self.until(lambda: self.text("#time") != "--:--:--")

    def size(self, width: int, height: int) -> None:
        self.browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )

    def find(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return str(self.find(selector).get_property("textContent")).strip()

    def js(self, script: str, *arguments: Any) -> Any:
        return self.browser.execute_script(script, *arguments)

    def until(self, holds: Callable[[], Any]) -> Any:
        """Wait until it holds; what is asked of a card that was just replaced counts as not yet."""
        return WebDriverWait(self.browser, WAIT_SECONDS, 0.05, [Exception]).until(lambda _: holds())

    def click(self, selector: str) -> None:
        self.until(lambda: self.find(selector).is_enabled())
        self.find(selector).click()

    def fill(self, field: str, text: str) -> None:
        element = self.find(f"#{field}")
        element.clear()
        element.send_keys(text)

    def create(self, **fields: str) -> str:
        """Create a session in the form; its id."""
        before = {card.get_attribute("data-session") for card in self.all(".session")}
        for field, text in fields.items():
            self.fill(field, text)
        self.click("#create button.main")
        new = self.until(lambda: {card.get_attribute("data-session") for card in self.all(".session")} - before)
        return str(new.pop())

    def card(self, session_id: str) -> str:
        return f'[data-session="{session_id}"]'

    def bar(self, session_id: str) -> float:
        """The length of the bar, in percent."""
        return float(
            self.js(
                "return parseFloat(document.querySelector(arguments[0]).style.width)", f"{self.card(session_id)} .fill"
            )
        )

    def chip(self, session_id: str) -> str:
        return self.text(f"{self.card(session_id)} .chip")

    def events(self, session_id: str) -> list[str]:
        """The kinds of the events about a session, oldest first."""
        return [
            item.find_element(By.CSS_SELECTOR, ".chip").text
            for item in reversed(self.all("#events li"))
            if item.find_element(By.CSS_SELECTOR, ".mono").get_attribute("title") == session_id
        ]

    def complaints(self) -> list[str]:
        """What the browser found wrong with the page, leaving answers of 4xx that were asked for."""
        entries = self.browser.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in entries if "Failed to load resource" not in entry["message"]]


@pytest.fixture
def page(browser: webdriver.Chrome, stack: Serving) -> Iterator[Page]:
    opened = Page(browser, f"http://127.0.0.1:{stack.port}/")
    yield opened
    assert opened.complaints() == []


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
    assert "renewals 1" in page.find(f"{page.card(session_id)} dl").text.replace("\n", " ")

    page.click('[data-minutes="30"]')
    page.click('[data-minutes="5"]')
    page.until(lambda: page.events(session_id) == ["expiring", "expiring", "expired"])
    page.until(lambda: page.chip(session_id) == "expired (idle timeout)")
    assert page.all(f"#ended {page.card(session_id)}")
    assert not page.find(f"{page.card(session_id)} [data-act=renew]").is_displayed()

    page.click(f"{page.card(session_id)} [data-act=end]")
    page.until(lambda: not page.all(page.card(session_id)))


def test_metadata_shows_as_the_text_that_it_is(page: Page) -> None:
    metadata = (
        '{"note":"<script>document.title = \'gone\'</script><img src=x onerror=alert(1)>","n":12345678901234567890}'
    )
    session_id = page.create(metadata=metadata)
    assert page.text(f"{page.card(session_id)} .metadata") == metadata
    assert page.all(f"{page.card(session_id)} script") == []
    assert page.all(f"{page.card(session_id)} img") == []
    assert page.browser.title == "agent-sessions, local stack"


def test_ids_that_a_client_sent_are_text_too(page: Page, stack: Serving) -> None:
    reply = stack.send(
        "POST", BASE, {"agentId": AGENT, "userId": USER, "metadata": {"</pre><script>1</script>": "&lt;"}}
    )
    session_id = reply.json["sessionId"]
    page.until(lambda: page.all(page.card(session_id)))
    assert page.text(f"{page.card(session_id)} .metadata") == '{"</pre><script>1</script>":"&lt;"}'


def test_what_other_clients_do_appears_by_itself(page: Page, stack: Serving) -> None:
    session_id = stack.send("POST", BASE, {"agentId": AGENT, "userId": USER}).json["sessionId"]
    page.until(lambda: page.chip(session_id) == "live")
    stack.send("POST", f"{BASE}/{session_id}/heartbeat")
    page.until(lambda: "renewals 1" in page.find(f"{page.card(session_id)} dl").text.replace("\n", " "))
    stack.send("DELETE", f"{BASE}/{session_id}")
    page.until(lambda: not page.all(page.card(session_id)))


def test_what_is_refused_is_said(page: Page) -> None:
    page.fill("timeout", "4")
    page.click("#create button.main")
    page.until(lambda: "400" in page.text("#said") and "timeoutMinutes" in page.text("#said"))
    page.fill("timeout", "")
    page.fill("metadata", "{no json")
    page.click("#create button.main")
    page.until(lambda: "no JSON" in page.text("#said"))


def test_it_goes_with_the_keyboard_alone(page: Page) -> None:
    page.find("#agent").send_keys(Keys.ENTER)
    page.until(lambda: page.all("#sessions .session"))
    reached = []
    page.js("document.querySelector('header a').focus()")
    for _ in range(24):
        page.browser.switch_to.active_element.send_keys(Keys.TAB)
        reached.append(
            page.js(
                "const a = document.activeElement; return a.dataset.act || a.dataset.minutes || a.id || a.textContent"
            )
        )
    for wanted in ("1", "5", "30", "next", "agent", "user", "timeout", "metadata", "heartbeat", "renew", "end"):
        assert wanted in reached, reached
    assert page.js("return getComputedStyle(document.activeElement).outlineStyle") == "solid"


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
    page.size(width, 800)
    assert page.until(lambda: page.js("return window.innerWidth") == width)
    assert page.js("return document.documentElement.scrollWidth") <= width
    assert page.find("#next").is_displayed()


CONTRAST: Final = """
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
return Array.from(document.querySelectorAll(arguments[0]))
  .filter((e) => e.checkVisibility() && e.textContent.trim() && !e.disabled)
  .map((e) => {
    const [one, other] = [light(getComputedStyle(e).color), light(background(e))].sort((a, b) => b - a);
    return [(one + 0.05) / (other + 0.05), e.className || e.id || e.tagName, e.textContent.trim().slice(0, 20)];
  })
  .filter(([ratio]) => ratio < 4.5);
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_it_stands_on(page: Page, scheme: str) -> None:
    page.browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
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


def test_the_documentation_shows_every_route(browser: webdriver.Chrome, stack: Serving) -> None:
    browser.get(f"http://127.0.0.1:{stack.port}/docs")
    WebDriverWait(browser, WAIT_SECONDS, 0.1).until(lambda _: browser.find_elements(By.CSS_SELECTOR, ".opblock"))
    shown = browser.find_element(By.CSS_SELECTOR, "#docs").text
    for path in ("/heartbeat", "/renew", "/timeout", "/health"):
        assert path in shown


def test_with_keys_the_page_takes_the_one_of_its_address(browser: webdriver.Chrome) -> None:
    with started({"AUTH": "1"}) as process:
        page = Page(browser, f"{process.url}/")
        page.until(lambda: page.find("#key").is_displayed())
        page.click("#create button.main")
        page.until(lambda: "401: Unauthorized" in page.text("#said"))
        found = re.search(r"page +(\S+)", process.text)
        assert found
        browser.get(f"{process.url}/docs")  # an address that differs in its fragment alone loads nothing
        page = Page(browser, found.group(1))
        assert page.create()
        assert browser.current_url == f"{process.url}/"
