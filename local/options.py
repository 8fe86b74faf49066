"""What `make run` takes, read from the environment and checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

Store = Literal["moto", "dynamodb-local"]

_YES = {"1", "true", "yes", "on"}
_NO = {"", "0", "false", "no", "off"}
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_HIGHEST_PORT = 65535


class OptionError(Exception):
    """An option is not what it may be; the message says what it may be."""


@dataclass(frozen=True)
class Options:
    """Where to listen, where sessions live, and whether callers need a key."""

    host: str = "127.0.0.1"
    port: int = 3000
    store: Store = "moto"
    auth: bool = False

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Options":
        """Read HOST, PORT, STORE and AUTH; what is not set or empty takes its default.

        Raises:
            OptionError: naming the option.

        """
        return cls(
            host=environ.get("HOST") or cls.host,
            port=_port(environ.get("PORT") or str(cls.port)),
            store=_store(environ.get("STORE") or cls.store),
            auth=_switch("AUTH", environ.get("AUTH", "")),
        )

    @property
    def is_loopback(self) -> bool:
        """Whether nobody but this machine can call."""
        return self.host in _LOOPBACK or self.host.startswith("127.")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= _HIGHEST_PORT):
        raise OptionError(f"PORT is a number from 0 to {_HIGHEST_PORT} (0 takes a free one), not {text!r}.")
    return int(text)


def _store(text: str) -> Store:
    if text not in get_args(Store):
        raise OptionError(f"STORE is {' or '.join(get_args(Store))}, not {text!r}.")
    return cast("Store", text)


def _switch(name: str, text: str) -> bool:
    if text.lower() not in _YES | _NO:
        raise OptionError(f"{name} is 1 or 0, not {text!r}.")
    return text.lower() in _YES
