"""What the outside gives: settings, time and AWS clients; and when the parts are built.

Tests and the local stack call `wire` first, with a clock and clients of their own; Lambda calls nothing and gets the
system's clock, the process's environment, and clients of its own.
"""

import gc
import os
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from agent_sessions.clock import Clock, SystemClock
from agent_sessions.errors import SettingsError

if TYPE_CHECKING:
    from botocore.session import Session

    from agent_sessions.aws_clients.lean_dynamodb import LeanDynamoDb
    from agent_sessions.telemetry.powertools import Telemetry
    from agent_sessions.telemetry.request_log import RequestLog

# ruff: noqa: PLC0415 - what is imported late is what not every function needs, and comes after `prepare`


class Wiring(NamedTuple):
    """What the outside gives: where settings, time and AWS clients come from. `clients` maps service names."""

    environ: Mapping[str, str] = os.environ
    clock: Clock = SystemClock()
    clients: Mapping[str, Any] = MappingProxyType({})


Built = TypeVar("Built")

_wiring = Wiring()
_forget: list[Callable[[], None]] = []


def wiring() -> Wiring:
    """Return what `wire` was last given."""
    return _wiring


def wire(given: Wiring) -> None:
    """Build everything anew from what is given when it is next asked for."""
    global _wiring  # noqa: PLW0603 - a process has one composition
    _wiring = given
    for forget in _forget:
        forget()


def built_once(build: Callable[[], Built]) -> Callable[[], Built]:
    """Make a builder return the same part until `wire` is called again."""
    cached = cache(build)
    _forget.append(cached.cache_clear)
    return cached


def prepare(build: Callable[[], object]) -> None:
    """Build during Lambda's init phase, which has a whole processor whatever the memory size; elsewhere wait.

    Next to nothing of what is imported and built ever becomes garbage, so nothing is looked through for it meanwhile
    (40 of the 1,200 Mi of a cold start) or later.
    """
    if "AWS_LAMBDA_RUNTIME_API" in os.environ:
        gc.disable()
        try:
            build()
        finally:
            gc.freeze()
            gc.enable()


def request_log() -> "RequestLog":
    """Make the log of a function on the request path, by the settings of Powertools, as far as it has their kind."""
    from agent_sessions.telemetry.request_log import RequestLog

    return RequestLog(
        _wiring.clock,
        namespace=os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "AgentSessions"),
        service=os.environ.get("POWERTOOLS_SERVICE_NAME", "service_undefined"),
        quiet=os.environ.get("POWERTOOLS_LOG_LEVEL", "INFO") not in {"DEBUG", "INFO"},
    )


def telemetry() -> "Telemetry":
    """Make the log of a function in the background. Powertools reads its own settings from the environment."""
    from aws_lambda_powertools import Logger, Metrics

    from agent_sessions.telemetry.powertools import Telemetry

    return Telemetry(Logger(location=None), Metrics())  # every line would name the one in `powertools`


@built_once
def dynamodb() -> Any:  # noqa: ANN401 - clients have no common type
    """Return the client of DynamoDB for functions that callers wait for: `SDK_TRANSPORT` chooses lean or botocore's.

    Where the setting is missing it is botocore's: only these functions have the setting.

    Raises:
        SettingsError: `SDK_TRANSPORT` is neither; and as `lean_dynamodb`.

    """
    given = _wiring.clients.get("dynamodb")
    if given is not None:
        return given
    transport = _wiring.environ.get("SDK_TRANSPORT") or "botocore"
    if transport == "botocore":
        return client("dynamodb")
    if transport != "lean":
        raise SettingsError(f"SDK_TRANSPORT: must be lean or botocore, not {transport}")
    return lean_dynamodb()


def lean_dynamodb() -> "LeanDynamoDb":
    """Make a lean client of DynamoDB.

    Raises:
        SettingsError: the environment asks for what only botocore can do.

    """
    from random import random

    from agent_sessions import aws_clients
    from agent_sessions.aws_clients.lean_dynamodb import LeanDynamoDb
    from agent_sessions.aws_clients.lean_http import Limits

    limits = Limits(aws_clients.CONNECT_TIMEOUT_SECONDS, aws_clients.READ_TIMEOUT_SECONDS)
    return LeanDynamoDb(_wiring.environ, SystemClock(), random, limits, aws_clients.TOTAL_ATTEMPTS)


def client(service: str, *, connections: int = 10) -> Any:  # noqa: ANN401 - clients have no common type
    """Return the given client of a service, or make one."""
    given = _wiring.clients.get(service)
    if given is not None:
        return given
    from agent_sessions.aws_clients.tuning import client_config, ignore_requested_pauses, send_puts_once

    made = _sdk_session().create_client(service, config=client_config(connections=connections))
    ignore_requested_pauses(made)
    send_puts_once(made)
    return made


@built_once
def _sdk_session() -> "Session":
    # What boto3's own session would add are resources and transfers to S3, which nothing here uses: 77 Mi of a cold
    # start. Its `client` hands on to this session's.
    from agent_sessions.aws_clients.tuning import lean_session

    return lean_session()
