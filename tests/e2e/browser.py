"""Chromium, through playwright, for the tests of pages. `conftest.py` makes the fixtures known."""

import shutil
from collections.abc import Iterator
from typing import Final

import pytest
from playwright import sync_api as playwright

FLAGS: Final = ("--disable-gpu", "--disable-quic", "--disable-dev-shm-usage")
WAIT_SECONDS: Final = 300
"""What takes longer counts as never: the machine may be busy."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[playwright.Browser]:
    """A browser for a file: while playwright's driver runs, the thread counts as inside an event loop."""
    program, node = shutil.which("chromium"), shutil.which("node")
    assert program, "make test-needs"
    assert node, "make test-needs"
    playwright.expect.set_options(timeout=WAIT_SECONDS * 1000)
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
