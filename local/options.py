"""What `make run` takes, read from the environment and checked."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args
from urllib.parse import urlsplit

Store = Literal["memory", "dynamodb-local"]

_AGENTS = ("echo", "none")
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
    """Where to listen and under which names, where sessions live, whether callers need a key, and who subscribes.

    `agent` is `none`, `echo`, or the address of an agent of one's own.
    """

    host: str = "127.0.0.1"
    port: int = 3000
    store: Store = "memory"
    auth: bool = False
    allow_hosts: frozenset[str] = frozenset()
    agent: str = "none"
    forward_to: str | None = None
    forward_filter: dict[str, Any] | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Options":
        """Read HOST, PORT, STORE, AUTH, ALLOW_HOSTS, AGENT, FORWARD_TO and FORWARD_FILTER.

        What is not set or empty takes its default.

        Raises:
            OptionError: naming the option.

        """
        return cls(
            host=environ.get("HOST") or cls.host,
            port=_port(environ.get("PORT") or str(cls.port)),
            store=_store(environ.get("STORE") or cls.store),
            auth=_switch("AUTH", environ.get("AUTH", "")),
            allow_hosts=_names(environ.get("ALLOW_HOSTS", "")),
            agent=_agent(environ.get("AGENT") or cls.agent),
            forward_to=_url("FORWARD_TO", environ["FORWARD_TO"]) if environ.get("FORWARD_TO") else None,
            forward_filter=_policy(environ.get("FORWARD_FILTER", "")),
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


def _agent(text: str) -> str:
    return text if text in _AGENTS else _url("AGENT", text, f"{' or '.join(_AGENTS)}, or ")


def _url(name: str, text: str, otherwise: str = "") -> str:
    try:
        parts = urlsplit(text)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise OptionError(f"{name} is {otherwise}an address such as http://127.0.0.1:9000/hook, not {text!r}.")
    return text


def _policy(text: str) -> dict[str, Any] | None:
    if not text:
        return None
    try:
        policy = json.loads(text)
    except ValueError:
        policy = None
    if not isinstance(policy, dict):
        raise OptionError(f"FORWARD_FILTER is a filter policy of SNS, a JSON object, not {text!r}.")
    return policy


def _switch(name: str, text: str) -> bool:
    if text.lower() not in _YES | _NO:
        raise OptionError(f"{name} is 1 or 0, not {text!r}.")
    return text.lower() in _YES
