"""`python -m local`, as `make run` starts it: what it says, how it ends, and many clients at once."""

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from local.demo import Client
from tests.e2e.local_process import ROOT, START_SECONDS, Process, started
from tests.unit.world import AGENT, BASE, USER

CLIENTS: Final = 32
REQUESTS: Final = 3_000


@pytest.fixture(scope="module")
def stack() -> Iterator[Process]:
    with started() as process:
        yield process


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def test_the_curl_line_that_it_prints_works(stack: Process) -> None:
    assert stack.url
    command = stack.text.split("Try this:")[1].split("Ctrl-C")[0].strip()
    answer = subprocess.run(
        ["bash", "-c", command.replace("curl -i", "curl -si")], capture_output=True, text=True, check=True
    )
    head, _, body = answer.stdout.replace("\r", "").partition("\n\n")
    assert head.startswith("HTTP/1.1 201")
    session = json.loads(body)
    assert session["timeoutConfig"] == {
        "timeoutMinutes": 30,
        "autoRenew": True,
        "maxDurationMinutes": 720,
        "warningThresholdMinutes": 5,
    }


def test_it_shows_a_line_for_each_request_and_keeps_the_functions_log_in_a_file(stack: Process) -> None:
    Client(stack.url).call("GET", f"{BASE}/health")
    assert stack.until(rf"\d\d:\d\d:\d\d  GET    {BASE}/health  200\n")
    [log_file] = stack.until(r"log +(\S+)")
    assert '"route":"GET /health"' in Path(log_file).read_text("utf-8")
    assert "_aws" not in stack.text


def test_a_taken_port_is_one_clear_sentence(stack: Process) -> None:
    port = port_of(stack.url)
    with started({"PORT": str(port)}) as other:
        assert other.wait() == 1
        assert other.text == (
            f"error: Port {port} of 127.0.0.1 is taken by another program. Choose another: PORT={port + 1}\n"
        )


def test_a_setting_that_cannot_be_is_one_clear_sentence() -> None:
    with started({"SESSION_MAX_DURATION_MINUTES": "9"}) as process:
        assert process.wait() == 1
        assert process.text == (
            "error: SESSION_DEFAULT_TIMEOUT_MINUTES (30) must not be larger than SESSION_MAX_DURATION_MINUTES (9)\n"
        )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_also_while_a_page_is_open(number: int) -> None:
    with started() as process:
        page = http.client.HTTPConnection("127.0.0.1", port_of(process.url), timeout=START_SECONDS)
        page.request("GET", "/_local/stream")
        stream = page.getresponse()
        assert stream.readline() == b"event: hello\n"
        assert process.signal(number) == 0
        assert "Traceback" not in process.text
        assert process.text.endswith("\nThe local stack has ended.\n")
        page.close()
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port_of(process.url))) != 0


def test_a_real_account_is_out_of_reach() -> None:
    environ = {"AWS_PROFILE": "production", "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    with started(environ) as process:
        Client(process.url).call("POST", BASE, {"agentId": AGENT, "userId": USER}, expected=201)


def test_open_to_others_it_warns() -> None:
    with started({"HOST": "0.0.0.0"}) as process:  # noqa: S104 - what is tested
        assert process.url.startswith("http://127.0.0.1:")
        assert (
            "WARNING: it listens on 0.0.0.0. Anyone who reaches this machine can use it, and needs no key."
            in process.text
        )


def test_with_auth_it_asks_for_a_key_and_prints_one() -> None:
    with started({"AUTH": "1"}) as process:
        url = process.url
        assert Client(url).call("GET", BASE, expected=401) == {"message": "Unauthorized"}
        assert Client(url, "as_" + "a" * 32).call("GET", BASE, expected=403) == {"message": "Forbidden"}
        found = re.search(r"key +(as_\S+)", process.text)
        assert found
        session = Client(url, found.group(1)).call("POST", BASE, {"agentId": AGENT, "userId": USER}, expected=201)
        assert Client(url).call("GET", f"{BASE}/{session['sessionId']}", expected=401)
        assert Client(url).call("GET", f"{BASE}/health")["status"] == "healthy"
        assert f"/#key={found.group(1)}\n" in process.text


def test_the_demo_tells_the_story_against_a_running_stack(stack: Process) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "local.demo", "--url", stack.url], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert [line.split()[2] for line in told.splitlines() if "⋮" not in line] == [
        "POST",
        *("user", "message.created", "agent", "message.created"),
        "session.expiring",
        *("agent", "message.created", "user", "message.created"),
        *("session.expiring", "session.expired"),
        "GET",
    ]
    assert told.count("it now expires") == 2


def test_many_clients_at_once_lose_no_update_and_meet_no_failure() -> None:
    with started() as process:
        url = process.url
        client = Client(url)
        shared = [
            client.call("POST", BASE, {"agentId": AGENT, "userId": USER}, expected=201)["sessionId"] for _ in range(8)
        ]
        statuses: Counter[int] = Counter()
        renewals: Counter[str] = Counter()
        created: list[str] = []
        counting = threading.Lock()

        def work(number: int) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", port_of(url), timeout=START_SECONDS)
            for turn in range(REQUESTS // CLIENTS):
                session_id = shared[(number + turn) % len(shared)]
                what = ("heartbeat", "heartbeat", "read", "renew", "create")[turn % 5]
                method, path, body = "POST", f"{BASE}/{session_id}/{what}", ""
                if what == "read":
                    method, path = "GET", f"{BASE}/{session_id}"
                if what == "create":
                    path, body = BASE, json.dumps({"agentId": AGENT, "userId": USER})
                connection.request(method, path, body, {"content-type": "application/json"})
                answer = connection.getresponse()
                content = json.loads(answer.read())
                with counting:
                    statuses[answer.status] += 1
                    if what in {"heartbeat", "renew"}:
                        renewals[session_id] += 1
                    if what == "create":
                        created.append(content["sessionId"])
            connection.close()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(statuses) == {200, 201}, statuses
        assert statuses[201] == len(created) == len(set(created))
        for session_id in shared:
            assert client.call("GET", f"{BASE}/{session_id}")["renewalCount"] == renewals[session_id]
        assert sorted(all_sessions(client)) == sorted(created + shared)


def all_sessions(client: Client) -> list[str]:
    """The ids of all sessions, page by page."""
    found: list[str] = []
    page: dict[str, Any] = {"nextCursor": ""}
    while "nextCursor" in page:
        cursor = f"&cursor={page['nextCursor']}" if page["nextCursor"] else ""
        page = client.call("GET", f"{BASE}?limit=100{cursor}")
        found += [session["sessionId"] for session in page["sessions"]]
    return found
