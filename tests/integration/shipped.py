"""The clients that a deployed function makes for itself, pointed at a server of ours."""

from typing import TYPE_CHECKING, Any, Literal

import pytest
from agent_sessions import aws_clients
from agent_sessions.bootstrap import wiring

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

Transport = Literal["lean", "botocore"]
TRANSPORTS: tuple[Transport, ...] = ("lean", "botocore")


def shipped_client(
    endpoint_url: str,
    *,
    transport: Transport = "botocore",
    connect_seconds: float = aws_clients.CONNECT_TIMEOUT_SECONDS,
    read_seconds: float = aws_clients.READ_TIMEOUT_SECONDS,
    attempts: int = aws_clients.TOTAL_ATTEMPTS,
    connections: int = 10,
) -> "DynamoDBClient":
    """Make one as the composition root does, with other time-outs where asked for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_DYNAMODB", endpoint_url)
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setattr(aws_clients, "CONNECT_TIMEOUT_SECONDS", connect_seconds)
        patch.setattr(aws_clients, "READ_TIMEOUT_SECONDS", read_seconds)
        patch.setattr(aws_clients, "TOTAL_ATTEMPTS", attempts)
        patch.setattr(wiring, "_wiring", wiring.Wiring())
        lean = transport == "lean"
        made: Any = wiring.lean_dynamodb() if lean else wiring.client("dynamodb", connections=connections)
    client: DynamoDBClient = made
    return client


def patient_client(endpoint_url: str, connections: int = 32, *, transport: Transport = "botocore") -> "DynamoDBClient":
    """One that a busy machine does not make repeat a call: what is counted here is what was asked for."""
    return shipped_client(
        endpoint_url, transport=transport, connect_seconds=300, read_seconds=300, attempts=1, connections=connections
    )


class LeanFirst:
    """The lean client, and botocore's for what a test asks beyond the calls of the requests' functions."""

    def __init__(self, endpoint_url: str) -> None:
        self._lean = patient_client(endpoint_url, transport="lean")
        self._botocore = patient_client(endpoint_url)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lean if hasattr(self._lean, name) else self._botocore, name)

    def close(self) -> None:
        self._lean.close()
        self._botocore.close()


def client_by(transport: Transport, endpoint_url: str) -> Any:
    """A patient client by one of the transports; it takes every call of botocore's."""
    return LeanFirst(endpoint_url) if transport == "lean" else patient_client(endpoint_url)
