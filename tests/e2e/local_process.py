"""`python -m local` in a process of its own, as `make run` starts it."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
START_SECONDS: Final = 300


class Process:
    """A stack in a process of its own, and what has been read so far of what it prints."""

    def __init__(self, environ: Mapping[str, str], module: str = "local") -> None:
        self.said: list[str] = []
        self._running = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=ROOT,
            env={**os.environ, "PORT": "0", **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # what it starts ends with it
        )
        self._heard = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._running.stdout
        with self._running.stdout as lines:
            for line in lines:
                self._hear(line)
        self._hear(None)

    def _hear(self, line: str | None) -> None:
        """Take the next line, or None for the end."""
        with self._heard:
            self._ended = line is None
            self.said.append(line or "")
            self._heard.notify_all()

    @property
    def text(self) -> str:
        return "".join(self.said)

    @property
    def url(self) -> str:
        """Where the page is, by its own words."""
        self.until("Ctrl-C")
        return self.until(r"page +(http://\S+?)/")[0]

    def until(self, pattern: str, times: int = 1) -> list[str]:
        """Wait until what it prints has come in and matches so often; return what was found.

        It prints a line before it answers a request. The answer may be here before the line has been read.
        """
        with self._heard:
            self._heard.wait_for(lambda: self._ended or len(re.findall(pattern, self.text)) >= times, START_SECONDS)
            found = re.findall(pattern, self.text)
        assert len(found) >= times, self.text
        return found

    def signal(self, number: int) -> int:
        """Send a signal, return the exit code."""
        self._running.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        code = self._running.wait(START_SECONDS)
        self._reader.join()
        return code

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._running.pid, signal.SIGKILL)
        self.wait()


@contextmanager
def started(environ: Mapping[str, str] | None = None, module: str = "local") -> Iterator[Process]:
    process = Process(environ or {}, module)
    try:
        yield process
    finally:
        process.kill()
