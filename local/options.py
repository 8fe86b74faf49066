"""What `make run` takes, read from the environment and checked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

Store = Literal["memory", "dynamodb-local"]

_YES = {"1", "true", "yes", "on"}
_NO = {"", "0", "false", "no", "off"}
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_OWN_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
_NAME = re.compile(r"[a-z0-9_.-]+|\[[0-9a-f:.]+\]")
_WITH_PORT = re.compile(r":\d*$")
_HIGHEST_PORT = 65535


class OptionError(Exception):
    """An option is not what it may be; the message says what it may be."""


@dataclass(frozen=True)
class Options:
    """Where to listen, under which names to answer, where sessions live, and whether callers need a key."""

    host: str = "127.0.0.1"
    port: int = 3000
    store: Store = "memory"
    auth: bool = False
    allow_hosts: frozenset[str] = frozenset()

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Options":
        """Read HOST, PORT, STORE, AUTH and ALLOW_HOSTS; what is not set or empty takes its default.

        Raises:
            OptionError: naming the option.

        """
        return cls(
            host=environ.get("HOST") or cls.host,
            port=_port(environ.get("PORT") or str(cls.port)),
            store=_store(environ.get("STORE") or cls.store),
            auth=_switch("AUTH", environ.get("AUTH", "")),
            allow_hosts=_names(environ.get("ALLOW_HOSTS", "")),
        )

    @property
    def is_loopback(self) -> bool:
        """Whether nobody but this machine can call."""
        return self.host in _LOOPBACK or self.host.startswith("127.")

    def answers_to(self, host: str) -> bool:
        """Whether a Host header, or the host of an Origin, names this stack; its port does not matter.

        A web page of elsewhere can make its own name lead to this machine, and its requests then carry that name.
        """
        name = _WITH_PORT.sub("", host.lower())
        own = f"[{self.host}]" if ":" in self.host else self.host
        return name in _OWN_NAMES | self.allow_hosts | {own.lower()}


def _names(text: str) -> frozenset[str]:
    names = frozenset(name.strip().lower() for name in text.split(",") if name.strip())
    for name in names:
        if not _NAME.fullmatch(name):
            raise OptionError(
                f"ALLOW_HOSTS is a list of host names without ports, such as my-box,[fd00::1], not {text!r}."
            )
    return names


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= _HIGHEST_PORT):
        raise OptionError(f"PORT is a number from 0 to {_HIGHEST_PORT} (0 takes a free one), not {text!r}.")
    return int(text)


def _store(text: str) -> Store:
    if text == "moto":
        raise OptionError("STORE=moto is now called STORE=memory, which is the default.")
    if text not in get_args(Store):
        raise OptionError(f"STORE is {' or '.join(get_args(Store))}, not {text!r}.")
    return cast("Store", text)


def _switch(name: str, text: str) -> bool:
    if text.lower() not in _YES | _NO:
        raise OptionError(f"{name} is 1 or 0, not {text!r}.")
    return text.lower() in _YES
