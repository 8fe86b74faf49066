"""What a call asks of the outside: send a request, let time pass.

The rules of this package are generators that yield such steps and get the outcome sent in. They do no input or output,
so that one implementation serves the sync client and the async one.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")


class Repeat(Enum):
    """When a request may be sent again."""

    ALWAYS = auto()
    """Sent twice, it does the same as sent once: it reads, or it carries a key."""
    WHEN_REFUSED = auto()
    """Only where the service cannot have carried it out, or asks for the repeat."""


@dataclass(frozen=True)
class Request:
    """A request to the service. `path` begins behind the address of the deployment."""

    method: str
    path: str
    repeat: Repeat
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    longest_wait_seconds: float = 0
    """How long the service may hold the answer on purpose."""


@dataclass(frozen=True)
class Send:
    """Send the request, once; give up after so many seconds. The outcome is an Answer or a Loss."""

    request: Request
    timeout_seconds: float


@dataclass(frozen=True)
class Pause:
    """Let time pass. The outcome is None."""

    seconds: float


@dataclass(frozen=True)
class Answer:
    """An answer. Header names are in lower case; `began` and `ended` are the wall clock around the exchange."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    began: float
    ended: float


@dataclass(frozen=True)
class Loss:
    """No answer came. `sent` is whether the request may have arrived."""

    why: str
    sent: bool


Step: TypeAlias = Send | Pause
Operation: TypeAlias = Generator[Step, Any, T]
