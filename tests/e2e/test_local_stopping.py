"""A stack that is stopped in the middle of a sweep, or while a page follows it, ends without a traceback."""

import http.client
import logging
import threading
from pathlib import Path

import pytest

from local import page_stream
from tests.e2e.serving import TIMEOUT_SECONDS, serving


def test_a_sweep_that_outlasts_the_server_is_answered_and_leaves_no_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended = threading.Event(), threading.Event()
    statuses: list[int] = []

    def call(port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
        connection.request("POST", "/_local/sweep")
        statuses.append(connection.getresponse().status)
        connection.close()
        ended.set()

    with serving(tmp_path, auth=False) as running:
        monkeypatch.setattr(logging.getLogger("uvicorn"), "propagate", True)  # to the handler of `caplog`

        def sweep() -> None:
            begun.set()
            ended.wait(TIMEOUT_SECONDS)

        monkeypatch.setattr(running.stack, "sweep", sweep)
        caller = threading.Thread(target=call, args=(running.port,))
        caller.start()
        assert begun.wait(TIMEOUT_SECONDS)
    caller.join()
    assert statuses == [503]
    assert not [record for record in caplog.records if record.exc_info]


def test_a_page_that_follows_the_stack_for_longer_than_the_server_waits_leaves_no_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_stream, "_PAUSE_SECONDS", TIMEOUT_SECONDS)
    with serving(tmp_path, auth=False) as running:
        monkeypatch.setattr(logging.getLogger("uvicorn"), "propagate", True)  # to the handler of `caplog`
        page = http.client.HTTPConnection("127.0.0.1", running.port, timeout=TIMEOUT_SECONDS)
        page.request("GET", "/_local/stream")
        stream = page.getresponse()
        while stream.readline() != b"event: clock\n":  # a pause follows
            pass
    page.close()
    assert not [record for record in caplog.records if record.exc_info]
