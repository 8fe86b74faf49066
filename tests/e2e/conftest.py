"""What the end-to-end tests share: the local stack as `make run` starts it, in a process of its own."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.browser import chromium, tab

__all__ = ["chromium", "tab"]

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class LocalServer:
    """A running local stack: where it is, and a key for it."""

    url: str
    key: str

    def advance(self, minutes: float) -> Any:
        """Move its clock."""
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=300)
        try:
            body = json.dumps({"advanceMinutes": minutes})
            connection.request("POST", "/_local/clock", body, {"content-type": "application/json"})
            response = connection.getresponse()
            assert response.status == 200
            return json.load(response)
        finally:
            connection.close()


@pytest.fixture(scope="session")
def local_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """`make run AUTH=1` on a free port. What it prints tells where it is, as it tells a person."""
    environ = os.environ | {"PORT": "0", "HOST": "127.0.0.1", "STORE": "memory", "AUTH": "1", "PYTHONUNBUFFERED": "1"}
    errors = tmp_path_factory.mktemp("local") / "errors.log"
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "local"], cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=stderr, text=True
        )
    assert process.stdout is not None
    try:
        printed = ""
        for line in process.stdout:
            printed += line
            if "Ctrl-C" in line:
                break
        url, key = re.search(r"page +(http://[^/\s]+)", printed), re.search(r"key +(\S+)", printed)
        assert url, printed + errors.read_text("utf-8")
        assert key, printed
        yield LocalServer(url[1], key[1])
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=300)
