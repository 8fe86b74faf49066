"""The page of the local stack, in Chromium: what a person sees and does."""

import json
import re
import shlex
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import pytest
from playwright import sync_api as playwright

from tests.e2e.browser import WAIT_SECONDS
from tests.e2e.local_process import started
from tests.e2e.serving import Serving, serving
from tests.unit.world import AGENT, BASE, USER

AGENTS: Final = "/api/messaging/agents"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("stack"), auth=False, agent="echo") as running:
        yield running


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

    def texts(self, selector: str) -> list[str]:
        return self.all(selector).all_inner_texts()

    def js(self, script: str, argument: Any = None) -> Any:
        return self.tab.evaluate(script, argument)

    def until(self, holds: Callable[..., Any], *arguments: Any) -> Any:
        """Wait until it holds of the arguments, and return what it is."""
        give_up = time.monotonic() + WAIT_SECONDS
        while not (held := holds(*arguments)):
            assert time.monotonic() < give_up, "this has not come to hold"
            self.tab.wait_for_timeout(50)
        return held

    def click(self, selector: str) -> None:
        self.all(selector).click()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.tab.keyboard.press(key)

    def fill(self, field: str, text: str) -> None:
        self.all(f"#{field}").fill(text)

    def create(self, **fields: str) -> str:
        """Create a session in the form; its id."""
        before = self.ids()
        self.click("#new")
        for field, text in fields.items():
            self.fill(field, text)
        self.click("#create button.main")
        new = self.until(lambda: self.ids() - before)
        return str(new.pop())

    def ids(self) -> set[str]:
        """The sessions that have a row, the folded ones too."""
        return set(self.js("() => Array.from(document.querySelectorAll('tr[data-session]'), (r) => r.dataset.session)"))

    def row(self, session_id: str) -> str:
        return f'tr[data-session="{session_id}"]'

    def open(self, session_id: str) -> None:
        self.click(f"{self.row(session_id)} .open")
        self.until(lambda: self.text("#whole-id") == session_id)

    def state(self, session_id: str) -> str:
        return self.text(f"{self.row(session_id)} .chip")

    def cell(self, session_id: str, number: int) -> str:
        return self.text(f"{self.row(session_id)} td:nth-child({number})")

    def events(self, session_id: str) -> list[str]:
        """The events about the session in the time line, oldest first; it may be behind another tab."""
        script = """(id) => Array.from(document.querySelectorAll("#events .is-event")).reverse()
            .filter((item) => item.dataset.session === id)
            .map((item) => item.querySelector(".chip").textContent)"""
        return list(self.js(script, session_id))

    def story(self) -> list[str]:
        """The time line of the session in the drawer, oldest first, with what is still to come."""
        return list(reversed(self.texts("#story .chip")))


@pytest.fixture
def page(tab: playwright.Page, stack: Serving) -> Iterator[Page]:
    opened = Page(tab, f"http://127.0.0.1:{stack.port}/")
    yield opened
    assert opened.complaints == []


def clear(stack: Serving) -> None:
    """End all sessions, and remove all policies of agents."""
    for session in stack.send("GET", f"{BASE}?limit=100").json["sessions"]:
        stack.send("DELETE", f"{BASE}/{session['sessionId']}")
    for policy in stack.send("GET", AGENTS).json["agents"]:
        stack.send("DELETE", f"{AGENTS}/{policy['agentId']}/session-policy")


WIDE: Final = {"width": 1360, "height": 900}
PHONE: Final = {"width": 390, "height": 780}


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_a_conversation_from_its_first_word_to_its_expiry(
    page: Page, stack: Serving, size: playwright.ViewportSize
) -> None:
    clear(stack)
    page.tab.set_viewport_size(size)
    session_id = page.create(timeout="30", warning="5")
    assert page.state(session_id) == "live"
    page.open(session_id)

    page.fill("content", "Where is my parcel?")
    page.press("Enter")
    said = ["Where is my parcel?", "You said: Where is my parcel?"]
    page.until(lambda: page.texts("#messages .words") == said)  # the echo agent answers the event
    assert [words.split()[0] for words in page.texts("#messages .who")] == ["user", "agent"]
    assert page.all("#content").input_value() == ""

    named = f"{session_id[:8]} is warned in"
    page.until(lambda: page.text("#next").startswith(named))
    page.js("document.querySelector('#next').click()")  # on a phone the drawer lies over it
    page.until(lambda: page.state(session_id) == "warned")
    page.until(lambda: page.text("#drawer-state").startswith("warned"))
    page.until(lambda: page.events(session_id) == ["message created", "message created", "expiring"])
    page.click("#tab-story")
    page.until(lambda: page.story()[-2:] == ["expiring", "expires"])

    page.click("#renew")
    page.until(lambda: page.state(session_id) == "live")
    page.until(lambda: page.story()[-4:] == ["expiring", "renewed", "is warned", "expires"])
    assert page.cell(session_id, 6) == "2"  # the user's message was the first renewal

    for latest in ("expiring", "expired"):  # the warning of the new lease, then its end
        page.until(lambda: page.text("#next").startswith(session_id[:8]))
        page.js("document.querySelector('#next').click()")
        page.until(lambda kind: page.events(session_id)[-2:] == ["expiring", kind], latest)
    page.until(lambda: page.state(session_id) == "expired (idle)")
    assert page.text("#drawer-state") == "expired (idle)"
    page.until(lambda: page.story()[-1] == "expired")
    assert page.all("#renew").is_hidden()

    page.click("#close")
    if size == PHONE:
        assert page.all("#timeline-panel").is_hidden()
        page.click("#tab-timeline")
        assert page.all("#sessions-panel").is_hidden()
        page.until(lambda: "expired" in page.texts("#events .chip"))  # what was not yet drawn has no text
        page.click("#tab-sessions")
    # An ended session is folded away, and opens with its conversation.
    if page.all("#ended").is_hidden():
        page.click("#fold")
    page.open(session_id)
    page.click("#tab-chat")
    page.until(lambda: page.texts("#messages .words") == said)
    page.click("#end")
    page.until(lambda: session_id not in page.ids())
    assert page.all("#drawer").is_hidden()


def test_what_comes_from_clients_is_text_and_appears_by_itself(page: Page, stack: Serving) -> None:
    hostile = "</pre><script>document.title = 'gone'</script><img src=x onerror=\"document.title = 'gone'\">&lt;"
    number = "12345678901234567890"
    body = f'{{"agentId":"{AGENT}","userId":"{USER}","metadata":{{"note":{json.dumps(hostile)},"n":{number}}}}}'
    session_id = stack.send("POST", BASE, text=body).json["sessionId"]
    stack.send("POST", f"{BASE}/{session_id}/messages", {"content": hostile, "role": "tool"})
    page.until(lambda: session_id in page.ids())
    page.open(session_id)
    page.until(lambda: page.texts("#messages .words") == [hostile])
    stack.send("DELETE", f"{BASE}/{session_id}/messages")
    page.until(lambda: page.texts("#messages .words") == ["the content of number 1 was removed"])
    page.click("#tab-settings")
    assert page.text("#metadata-text") == f'{{"note":{json.dumps(hostile)},"n":{number}}}'
    page.click("#tab-raw")
    assert number in page.text("#raw")
    assert page.all("main script, main img").count() == 0
    assert page.tab.title() == "agent-sessions, local stack"

    stack.send("POST", f"{BASE}/{session_id}/heartbeat")
    page.until(lambda: page.cell(session_id, 6) == "1")
    page.fill("search", "onerror nobody")
    page.until(lambda: page.all(page.row(session_id)).count() == 0)
    page.fill("search", f"onerror {USER[:8]}")
    page.until(lambda: page.all(page.row(session_id)).is_visible())
    stack.send("DELETE", f"{BASE}/{session_id}")
    page.until(lambda: session_id not in page.ids())


def test_a_curl_line_of_the_drawer_does_what_it_says(page: Page, stack: Serving) -> None:
    session_id = page.create()
    page.open(session_id)
    page.click("#tab-raw")
    for line in page.texts("#curls pre"):
        command = shlex.split(line)
        assert command[0] == "curl"
        url, verb, content = command[1], "GET", None
        if command[1] == "-X":
            verb, url = command[2], command[3]
        if "-d" in command:
            verb = "POST" if verb == "GET" else verb
            content = command[command.index("-d") + 1]
        path = url.removeprefix(f"http://127.0.0.1:{stack.port}")
        if content and "http" in content:
            continue  # it waits for an agent
        assert stack.send(verb, path, text=content).status in {200, 201}, line
    page.until(lambda: session_id not in page.ids())


def test_what_is_refused_stands_at_its_field(page: Page) -> None:
    page.click("#new")
    for field, text in {"timeout": "4", "warning": "soon", "agent": "x", "metadata": "{no json"}.items():
        page.fill(field, text)
    page.click("#create button.main")
    page.until(lambda: "JSON" in page.text("#metadata-error"))
    page.fill("metadata", "")
    page.click("#create button.main")
    page.until(lambda: "from 5" in page.text("#timeout-error"))
    assert "UUID" in page.text("#agent-error")
    assert "number" in page.text("#warning-error")
    assert page.all("#user-error").is_hidden()
    assert page.js("document.activeElement.id") == "agent"
    assert page.all("#timeout").get_attribute("aria-invalid") == "true"
    page.fill("agent", AGENT)
    page.fill("warning", "")
    page.fill("timeout", "12")
    before = page.ids()
    page.click("#create button.main")
    session_id = page.until(lambda: page.ids() - before).pop()

    page.open(session_id)
    page.click("#tab-settings")
    page.fill("new-timeout", "4")
    page.click("#change button")
    page.until(lambda: "from 5" in page.text("#new-timeout-error"))
    page.fill("new-timeout", "20")
    page.click("#change button")
    page.until(lambda: "timeout 20 min" in page.text("#facts"))
    assert page.all("#new-timeout-error").is_hidden()
    page.click("#tab-chat")
    page.fill("content", "x" * 4001)
    page.press("Enter")
    page.until(lambda: "4000" in page.text("#content-error"))
    page.click("#jump")
    page.fill("jump-to", "2001-01-01T00:00:00")
    page.click("#jump-form button.main")
    page.until(lambda: "never goes backwards" in page.text("#jump-to-error"))


def test_it_goes_with_the_keyboard_alone(page: Page, stack: Serving) -> None:
    clear(stack)
    page.until(lambda: page.all("#live tr").count() == 0)
    page.press("Tab")
    assert page.js("document.activeElement.className") == "skip"
    assert page.js("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.press("Enter")
    for count in (1, 2):
        page.press("n")
        page.all("#timeout").press("Enter")
        page.until(lambda wanted: page.all("#live tr").count() == wanted, count)
    first, second = (row.get_attribute("data-session") for row in page.all("#live tr").all())
    assert first
    assert second
    page.press("k", "k", "Enter")
    page.until(lambda: page.text("#whole-id") == first)
    page.press("j")
    page.until(lambda: page.text("#whole-id") == second)
    page.press("h")
    page.until(lambda: page.cell(second, 6) == "1")
    page.press("r")
    page.until(lambda: page.cell(second, 6) == "2")
    page.press("Escape")
    assert page.all("#drawer").is_hidden()
    page.press("/")
    assert page.js("document.activeElement.id") == "search"
    page.press("n")  # is a letter in a field
    assert page.all("#search").input_value() == "n"
    page.press("Backspace", "Tab", "Tab", "ArrowRight")
    page.until(lambda: "expiring" in page.events(first))
    page.press("?")
    assert page.all("#shortcuts").is_visible()


def test_rows_and_time_line_mark_one_another(page: Page) -> None:
    session_id, other = page.create(), page.create()
    page.all(page.row(session_id)).hover()
    page.until(lambda: page.all("#events li.same").count() > 0)
    marked = page.js("() => Array.from(document.querySelectorAll('#events li.same'), (item) => item.dataset.session)")
    assert set(marked) == {session_id}
    page.all(f'#events li[data-session="{other}"]').first.hover()
    page.until(lambda: "same" in (page.all(page.row(other)).get_attribute("class") or ""))
    page.all(f'#events li[data-session="{other}"] button').first.click()
    page.until(lambda: page.text("#whole-id") == other)


def test_the_clock_jumps_to_a_time_and_the_samples_play(page: Page, stack: Serving) -> None:
    clear(stack)
    page.until(lambda: page.text("#next") == "Nothing is due")
    page.click("#jump")
    now = datetime.fromisoformat(stack.send("GET", "/_local/clock").json["now"])
    later = now.replace(microsecond=0) + timedelta(hours=3)
    page.fill("jump-to", later.strftime("%Y-%m-%dT%H:%M:%S"))
    page.click("#jump-form button.main")
    page.until(lambda: page.all("#jump-dialog").is_hidden())
    assert datetime.fromisoformat(stack.send("GET", "/_local/clock").json["now"]) >= later
    for session_id in page.ids():
        stack.send("DELETE", f"{BASE}/{session_id}")

    page.click("#samples")
    page.until(lambda: page.all("#live tr").count() == 4)
    page.until(lambda: page.text("#play") == "Pause")
    page.until(lambda: any("?" in text or int(text) for text in page.texts("#live td:last-child")))
    page.until(lambda: "expiring" in page.texts("#events .is-event .chip"))
    page.click("#play")
    page.until(lambda: page.text("#play") == "Play ×60")  # noqa: RUF001 - the sign on the button
    assert stack.send("GET", "/_local/clock").json["speed"] == 1


def test_a_filter_policy_is_set_and_taken_back(page: Page, stack: Serving) -> None:
    page.click("#policy summary")
    page.fill("policy-text", "{")
    page.click("#filter button.main")
    page.until(lambda: "JSON" in page.text("#policy-text-error"))
    page.fill("policy-text", '{"type": ["agent-sessions.session.expired"]}')
    page.click("#filter button.main")
    page.until(lambda: "set" in page.text("#policy-state"))
    session_id = page.create(timeout="5", warning="5")
    page.click("#jump")
    page.click('[data-minutes="30"]')
    page.until(lambda: page.events(session_id) == ["expired"])
    page.click("#no-policy")
    page.until(lambda: page.text("#policy-state") == "(none)")
    assert stack.send("GET", "/_local/subscription").json == {"filterPolicy": None}


def test_what_is_wrong_with_a_policy_stands_at_its_field(page: Page) -> None:
    page.press("a")
    page.fill("policy-agent", "<b>x")
    page.press("Enter")
    page.until(lambda: "UUID" in page.text("#policy-agent-error"))
    page.fill("policy-agent", AGENT)
    wrong = {"timeoutMinutes-default": "9", "timeoutMinutes-max": "soon", "maxDurationMinutes-min": "1"}
    for field, text in wrong.items():
        page.fill(f"policy-{field}", text)
    page.press("Enter")
    page.until(lambda: "max must be a number" in page.text("#policy-timeoutMinutes-max-error"))
    assert page.text("#policy-maxDurationMinutes-min-error").startswith("min must be a number")
    assert page.all("#policy-form .error").filter(visible=True).count() == 2
    assert page.js("document.activeElement.id") == "policy-timeoutMinutes-max"
    page.press("Escape")
    assert page.all("#policies-dialog").is_hidden()


def test_an_agents_policy_holds_for_its_new_sessions_until_it_is_removed(page: Page, stack: Serving) -> None:
    clear(stack)
    agent_id = "ABCDEF01-0000-4000-8000-00000000000A"

    def let_it_take_effect() -> None:
        stack.send("POST", "/_local/clock", {"advanceMinutes": 1})

    page.click("#show-policies")
    page.until(lambda: page.all("#no-policies").is_visible())
    page.fill("policy-agent", agent_id)
    page.fill("policy-timeoutMinutes-default", "9")
    page.fill("policy-timeoutMinutes-max", "20")
    page.press("Enter")
    page.until(lambda: page.texts("#policies .quiet") == ["timeout 9, ≤ 20 min"])
    assert page.texts("#policies .open") == [agent_id.lower()]
    page.press("Escape")
    let_it_take_effect()
    session_id = page.create(agent=agent_id, timeout="")
    page.open(session_id)
    page.click("#tab-settings")
    page.until(lambda: "timeout 9 min" in page.text("#facts"))
    page.click("#new")
    page.fill("timeout", "21")
    page.click("#create button.main")
    page.until(lambda: "20" in page.text("#timeout-error"))
    page.press("Escape")

    page.press("a")  # opens with the agent of the open session
    page.until(lambda: page.all("#policy-timeoutMinutes-max").input_value() == "20")
    page.all("#policy-allowed").uncheck()
    page.all("#policy-renew").select_option("no")
    page.click("#policy-form button.main")
    wanted = "no new sessions · timeout 9, ≤ 20 min · activity does not renew"
    page.until(lambda: page.texts("#policies .quiet") == [wanted])
    page.click("#policy-form [data-close]")
    let_it_take_effect()
    page.click("#new")
    page.fill("timeout", "")
    page.click("#create button.main")
    page.until(lambda: page.text("#create-error").startswith("404"))
    page.press("Escape")

    page.press("a")
    page.click("#policies button.link")
    page.until(lambda: page.all("#policies li").count() == 0)
    page.press("Escape")
    let_it_take_effect()
    assert page.create() != session_id


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

MEASURE: Final = """
async (id) => {
  const { takeSessions, sessionOf } = await import("/_local/page/sessions.js");
  const times = [];
  for (let n = 0; n < 101; n += 1) {
    const session = structuredClone(sessionOf(id));
    session.expiresAt = new Date(Date.parse(session.expiresAt) + (n % 2 ? 1 : -1) * 600000).toISOString();
    const start = performance.now();
    takeSessions([{ sessionId: id, session }]);
    document.querySelector("#frame").getBoundingClientRect();  // lays it out
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[50];
}
"""
FLOOD: Final = """
async (ids) => {
  const { takeEvents } = await import("/_local/page/timeline.js");
  const latest = Array.from({ length: 1200 }, (_, n) => ({
    type: "agent-sessions.session.expiring", id: `flood-${n}`, subject: ids[n % ids.length],
    time: new Date(Date.now() + n).toISOString(), data: { expiresAt: new Date().toISOString(), reason: "idle_timeout" },
  }));
  takeEvents({ total: 1200, latest });
}
"""


def test_three_hundred_sessions_and_a_thousand_events_stay_quick(
    page: Page, stack: Serving, record_property: Callable[[str, object], None]
) -> None:
    for number in range(300):
        config = {"timeoutMinutes": 60 + number / 10}
        stack.send("POST", BASE, {"agentId": AGENT, "userId": USER, "timeoutConfig": config})
    page.until(lambda: page.all("#live tr").count() >= 300)
    ids = sorted(page.ids())
    page.js(FLOOD, ids)
    assert page.all("#events li").count() == 1000
    median = page.js(MEASURE, ids[150])
    record_property("measured", f"a row of {len(ids)} beside 1,000 events: {median:.1f} ms an update, median of 101")
    page.fill("search", ids[7])
    page.until(lambda: page.all("#live tr, #ended tr").count() == 1)
    clear(stack)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_scrolled_sideways_and_text_stands_out(
    page: Page, stack: Serving, scheme: Literal["light", "dark"]
) -> None:
    clear(stack)
    page.tab.emulate_media(color_scheme=scheme)
    long = page.create(timeout="30", warning="10", metadata='{"long":"' + "x" * 300 + '"}')
    page.create(timeout="5", warning="5")
    stack.send("POST", f"{BASE}/{long}/messages", {"content": "y" * 300})
    stack.send("POST", "/_local/clock", {"advanceMinutes": 18})
    page.until(lambda: page.state(long) == "warned")
    policy = {"timeoutMinutes": {"default": 15, "min": 5, "max": 60}, "autoRenew": False}
    stack.send("PUT", f"{AGENTS}/{USER}/session-policy", policy)  # no other test has an agent of this id
    page.js("document.querySelector('#policy').open = true")
    texts = (
        "h1, h2, h3, p, a, label, button, th, td, dt, dd, pre, time, summary, .chip, .says, .words, .who span, select"
    )
    for width in (320, 390, 768, 1024, 1920) if scheme == "light" else (1024,):
        page.tab.set_viewport_size({"width": width, "height": 800})
        page.until(lambda wanted: page.js("window.innerWidth") == wanted, width)
        assert page.js("document.documentElement.scrollWidth") <= width
        assert page.all("#next").is_visible()
        page.open(long)
        page.click("#tab-chat")
        page.until(lambda: page.all("#messages .words").count() > 0)
        for tab in ("chat", "story", "settings", "raw"):
            page.click(f"#tab-{tab}")
            assert page.js("document.documentElement.scrollWidth") <= width, (width, tab)
            assert page.js("document.querySelector('#drawer').scrollWidth") <= width, (width, tab)
            if width == 1024:
                assert page.js(CONTRAST, texts) == [], tab
        page.click("#close")
        page.click("#show-policies")
        page.until(lambda: page.all("#policies li").count() == 1)
        dialog = "document.querySelector('#policies-dialog')"
        assert page.js(f"{dialog}.scrollWidth == {dialog}.clientWidth"), width
        assert page.js(CONTRAST, texts) == [], width
        page.press("Escape")


def test_the_documentation_shows_every_route_by_its_tag_with_models_folded_and_leads_back(
    tab: playwright.Page, stack: Serving
) -> None:
    tab.goto(f"http://127.0.0.1:{stack.port}/docs")
    described = stack.send("GET", "/docs/openapi.json").json
    calls = [call for path in described["paths"].values() for call in path.values() if "operationId" in call]
    playwright.expect(tab.locator(".opblock")).to_have_count(len(calls) + len(described["webhooks"]))
    shown = tab.locator("#docs").inner_text().replace("\u200b", "")
    for path in described["paths"]:
        assert path in shown
    tags = {tag for call in calls for tag in call["tags"]}
    assert tags <= {tag.get_attribute("data-tag") for tag in tab.locator(".opblock-tag").all()}
    assert tab.locator(".models.is-open, .model-box").count() == 0
    tab.get_by_text("back to the local stack").click()
    assert Page(tab, tab.url).create()


def test_with_keys_the_page_asks_for_the_one_that_was_printed(tab: playwright.Page) -> None:
    with started({"AUTH": "1"}) as process:
        page = Page(tab, f"{process.url}/")
        page.all("#key").wait_for()
        page.click("#new")
        page.click("#create button.main")
        page.until(lambda: "401" in page.text("#create-error"))
        page.click("#create [data-close]")
        page.fill("key", "as_wrong")
        page.click("#key-form button")
        page.click("#new")
        page.click("#create button.main")
        page.until(lambda: "403" in page.text("#key-error"))
        page.click("#create [data-close]")
        found = re.search(r"page +(\S+)", process.text)
        assert found
        page.fill("key", found.group(1).partition("key=")[2])
        page.click("#key-form button")
        assert page.create()
        assert page.all("#key-form").is_hidden()
        page.press("a")
        page.until(lambda: page.all("#no-policies").is_visible())  # the key goes with these calls as well

        tab.goto(f"{process.url}/docs")  # an address that differs in its fragment alone loads nothing
        tab.locator(".btn.authorize.locked").wait_for()  # the key is filled in
        page = Page(tab, found.group(1))
        assert page.create()
        assert tab.url == f"{process.url}/"
    page.until(lambda: "has stopped" in page.text("#stopped"))
    assert float(page.js("getComputedStyle(document.querySelector('main')).opacity")) < 1
    assert page.js("document.querySelector('main').inert") is True
