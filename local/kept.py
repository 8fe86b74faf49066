"""The folder in which sessions outlive the stack: one stack uses it at a time, and the clock is kept there too."""

import fcntl
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from local.clock import LATEST_MS

_CLOCK: Final = "clock.json"
_STREAM: Final = "stream-position"
_LOCK: Final = "stack.lock"
_ACCESS_KEY: Final = "access-key"


class KeptDataError(Exception):
    """The folder cannot be used; the message says why, and what to do."""


class KeptFolder:
    """A folder of data, and how far ahead of real time the clock was when they were written."""

    def __init__(self, path: Path) -> None:
        """The folder is created by `locked`."""
        self.path = path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other stacks out of the folder for the time of the block.

        Raises:
            KeptDataError: another stack uses the folder.

        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / _LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                message = f"Another local stack uses {self.path}. End it first, or run this one with STORE=memory."
                raise KeptDataError(message) from error
            yield

    def access_key(self) -> str:
        """The key that the kept tables belong to: drawn at random once, and readable by its owner alone.

        DynamoDB Local listens on all addresses of the machine. Without the key, its tables cannot be seen.
        """
        file = self.path / _ACCESS_KEY
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(secrets.token_hex(16), encoding="ascii")
        return file.read_text(encoding="ascii").strip()

    def offset_ms(self) -> int:
        """How far ahead the clock was: sessions must not lie in the future. 0 in a new folder.

        Raises:
            KeptDataError: the file does not hold a number of milliseconds that a clock can be ahead.

        """
        file = self.path / _CLOCK
        try:
            kept = json.loads(file.read_text(encoding="utf-8"))
            offset_ms = kept["offsetMs"]
        except FileNotFoundError:
            return 0
        except (ValueError, KeyError, TypeError):
            offset_ms = None
        latest_ms = LATEST_MS - time.time_ns() // 1_000_000
        if isinstance(offset_ms, bool) or not isinstance(offset_ms, int) or not 0 <= offset_ms <= latest_ms:
            raise KeptDataError(
                f"{file} is damaged: it must hold "
                '{"offsetMs": N}, where N is how many milliseconds the clock is ahead of real time. '
                "Correct it, or remove the kept sessions with `make clean`."
            )
        return offset_ms

    def keep_offset(self, offset_ms: int) -> None:
        """Write the clock's offset, so that a crash leaves the old file or the new one."""
        _replace(self.path / _CLOCK, json.dumps({"offsetMs": offset_ms}))

    def stream_position(self) -> str | None:
        """The sequence number up to which the messages' events were published; None in a new folder."""
        file = self.path / _STREAM
        return file.read_text(encoding="ascii").strip() if file.exists() else None

    def keep_stream_position(self, position: str) -> None:
        """Write the position, so that a crash leaves the old one or the new one."""
        _replace(self.path / _STREAM, position)


def _replace(file: Path, text: str) -> None:
    new = file.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.replace(file)
