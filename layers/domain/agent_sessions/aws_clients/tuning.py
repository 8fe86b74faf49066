"""Botocore's clients, tuned: for all of AWS but the DynamoDB of the requests' functions, and for that on demand."""

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlencode

from botocore import __version__ as botocore_version
from botocore.config import Config
from botocore.credentials import Credentials, EnvProvider, create_credential_resolver
from botocore.handlers import BUILTIN_HANDLERS
from botocore.parsers import JSONParser, ResponseParser, ResponseParserFactory
from botocore.session import Session

from agent_sessions import aws_clients

_AS_SENT: Final = frozenset({"S", "N", "BOOL", "NULL"})
"""The kinds of attribute that mean the same in JSON and in Python."""

# Gains are in millions of instructions ("Mi") as `make bench` counts them: 1,200 Mi was a cold start of create before
# them, 4.7 Mi a warm create and 4.4 Mi a warm get.


def lean_session() -> Session:
    """Return botocore's part of a boto3 session, without what it does for services that we do not call."""
    session = Session(include_builtin_handlers=False)
    # Nine handlers are for every service, over a hundred for one (which their names say after a dot): 53 Mi.
    for event, handler, *_ in BUILTIN_HANDLERS:
        if "." not in event:
            session.register(event, handler)
    session.register("before-call", _encode_once)
    session.register_component("response_parser_factory", _Parsers())
    session.register_component("credential_provider", _EnvironmentFirst(session))
    return session


def client_config(*, connections: int = 10) -> Config:
    """Return the settings of our clients, with room for `connections` calls at a time."""
    return Config(
        connect_timeout=aws_clients.CONNECT_TIMEOUT_SECONDS,
        read_timeout=aws_clients.READ_TIMEOUT_SECONDS,
        retries={"mode": "standard", "total_max_attempts": aws_clients.TOTAL_ATTEMPTS},
        max_pool_connections=connections,
        # What is sent is typed and tested, so botocore need not check it against its model once more; the tests'
        # clients do.
        parameter_validation=False,
        # botocore writes its own anew twice a call, out of a dozen parts: 0.95 Mi of every call.
        user_agent=f"agent-sessions botocore/{botocore_version}",
    )


def _encode_once(**call: Any) -> None:  # noqa: ANN401 - botocore hands each handler what it has
    """Encode the form that SNS takes. botocore does so twice, to sign it and to send it: a sixth of a sweep."""
    request = call["params"]
    if isinstance(request["body"], dict):
        request["body"] = urlencode(request["body"], doseq=True).encode()


class _EnvironmentFirst:
    """Takes the keys that Lambda puts into the environment, and asks botocore's chain where there are none.

    That chain begins with the environment too, but makes its clients of metadata services before: 5 Mi.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def load_credentials(self) -> Credentials | None:
        return EnvProvider().load() or create_credential_resolver(self._session).load_credentials()


class _Parsers(ResponseParserFactory):
    """Gives botocore our parser for the protocol that DynamoDB speaks."""

    def create_parser(self, protocol_name: str) -> ResponseParser:
        if protocol_name == "json":
            return _ItemParser()
        return super().create_parser(protocol_name)


class _ItemParser(JSONParser):
    """Takes an item's plain attributes as they come.

    botocore looks into each of them for the ten kinds that there are: 0.73 Mi of every call that answers an item.
    """

    _handle_structure: Callable[[Any, Any], Any]  # botocore's own, which its stubs leave out

    def _handle_map(self, shape: Any, value: dict[str, Any]) -> Any:  # noqa: ANN401 - botocore's shapes
        attribute = shape.value
        if attribute.name != "AttributeValue":
            return super()._handle_map(shape, value)  # type: ignore[misc] # the stubs leave it out
        return {
            name: held if held.keys() <= _AS_SENT else self._handle_structure(attribute, held)
            for name, held in value.items()
        }


def ignore_requested_pauses(client: Any) -> None:  # noqa: ANN401 - clients have no common type
    """Keep botocore from heeding a throttled answer that asks for a longer pause, of up to six seconds, before a retry.

    The caller gets a 503 with `Retry-After` instead, so that no request is held up for longer than it is worth.
    """
    service = client.meta.service_model.service_name
    client.meta.events.register_first(f"needs-retry.{service}", _forget_requested_pause)


def _forget_requested_pause(response: tuple[Any, Any] | None = None, **_: object) -> None:
    if response is not None:
        response[0].headers.pop("x-amz-retry-after", None)


def send_puts_once(client: Any) -> None:  # noqa: ANN401 - clients have no common type
    """Keep botocore from repeating puts whose answer was lost: a repeat could bring back what was deleted since.

    Whoever writes a new item looks for it instead, and decides what to write next.
    """
    for operation in ("PutItem", "TransactWriteItems"):
        client.meta.events.register_first(f"needs-retry.dynamodb.{operation}", _never)


def _never(**_: object) -> bool:
    return False  # botocore: neither retry, nor ask another handler
