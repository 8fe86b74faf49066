"""Lambda's part: calls a handler as the runtime does, and keeps what it writes out of the terminal.

An event and an answer pass through JSON, as they do on the way to Lambda and back: what would not survive that fails
here too.
"""

import importlib
import json
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

from local.aws import ACCOUNT, REGION

_MEMORY_MEGABYTES = 512


@dataclass(frozen=True)
class LambdaContext:
    """What a handler may ask of its surroundings."""

    function_name: str
    timeout_seconds: int
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    function_version: str = "$LATEST"
    memory_limit_in_mb: int = _MEMORY_MEGABYTES
    log_group_name: str = "local"
    log_stream_name: str = "local"
    _started: float = field(default_factory=time.monotonic)

    @property
    def invoked_function_arn(self) -> str:
        """The name under which it was called."""
        return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self.function_name}"

    def get_remaining_time_in_millis(self) -> int:
        """What is left of the timeout, by real time."""
        return max(0, round((self.timeout_seconds - (time.monotonic() - self._started)) * 1000))


class LambdaFunction:
    """One deployed handler: the file `functions/<name>/app.py`."""

    def __init__(self, name: str, *, timeout_seconds: int) -> None:
        """Import the handler; it builds what it needs at its first call."""
        self.name = name
        self._timeout_seconds = timeout_seconds
        self._handler: Callable[[Any, Any], Any] = importlib.import_module(f"functions.{name}.app").handler

    def __call__(self, event: dict[str, Any]) -> Any:
        """Hand over an event, return the answer."""
        context = LambdaContext(self.name, self._timeout_seconds)
        return json.loads(json.dumps(self._handler(json.loads(json.dumps(event)), context)))


class FunctionLog:
    """Takes the place of standard output, where functions write their log: all of it goes to a file.

    Errors are shown in the terminal as well, the stack as it would be read there. Loggers keep the stream they were
    made with, so there is one of these in a process, and it is opened anew for each stack.
    """

    encoding = "utf-8"

    def __init__(self) -> None:
        """Closed: what is written goes nowhere."""
        self.path = Path()
        self._file: TextIO | None = None
        self._terminal: TextIO = sys.stderr
        self._lock = threading.Lock()
        self._rest = ""

    def open(self, file: Path, terminal: TextIO) -> None:
        """Begin the file anew."""
        file.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            self.path = file
            self._terminal = terminal
            self._file = file.open("w", encoding="utf-8", buffering=1)

    def write(self, text: str) -> int:
        """Take text as `print` and log handlers write it."""
        with self._lock:
            if self._file is None:
                return len(text)
            self._file.write(text)
            *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._show(line)
        return len(text)

    def flush(self) -> None:
        """Nothing waits: the file is written line by line."""

    def isatty(self) -> bool:
        """A file is no terminal."""
        return False

    def close(self) -> None:
        """End the file."""
        with self._lock:
            if self._file is not None:
                self._file.close()
            self._file = None
            self._rest = ""

    def _show(self, line: str) -> None:
        if '"level":"ERROR"' not in line and '"level":"WARNING"' not in line:
            return
        try:
            entry = json.loads(line)
        except ValueError:
            entry = {"message": line}
        facts = {name: entry[name] for name in ("route", "request_id", "error") if name in entry}
        text = " ".join([str(entry.get("message")), *(f"{name}={value}" for name, value in facts.items())])
        stack = f"\n{entry['exception']}" if "exception" in entry else ""
        print(f"  {entry.get('level', 'ERROR')} in the function: {text}{stack}", file=self._terminal, flush=True)


_LOG: Final = FunctionLog()


@contextmanager
def redirected_output(file: Path) -> Iterator[FunctionLog]:
    """Send what functions write to `file` for the time of the block."""
    before = sys.stdout
    _LOG.open(file, sys.stderr)
    sys.stdout = _LOG
    try:
        yield _LOG
    finally:
        sys.stdout = before
        _LOG.close()
