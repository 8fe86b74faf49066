"""The client that a deployed function makes for itself, pointed at a server of ours."""

from typing import TYPE_CHECKING

import pytest
from agent_sessions.aws_clients import tuning as aws
from agent_sessions.bootstrap import wiring

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


def shipped_client(
    endpoint_url: str,
    *,
    connect_seconds: float = aws.CONNECT_TIMEOUT_SECONDS,
    read_seconds: float = aws.READ_TIMEOUT_SECONDS,
    attempts: int = aws.TOTAL_ATTEMPTS,
    connections: int = 10,
) -> "DynamoDBClient":
    """Make one as the composition root does, with other time-outs where asked for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_DYNAMODB", endpoint_url)
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setattr(aws, "CONNECT_TIMEOUT_SECONDS", connect_seconds)
        patch.setattr(aws, "READ_TIMEOUT_SECONDS", read_seconds)
        patch.setattr(aws, "TOTAL_ATTEMPTS", attempts)
        patch.setattr(wiring, "_wiring", wiring.Wiring())
        client: DynamoDBClient = wiring.client("dynamodb", connections=connections)
    return client


def patient_client(endpoint_url: str, connections: int = 32) -> "DynamoDBClient":
    """One that a busy machine does not make repeat a call: what is counted here is what was asked for."""
    return shipped_client(endpoint_url, connect_seconds=300, read_seconds=300, attempts=1, connections=connections)
