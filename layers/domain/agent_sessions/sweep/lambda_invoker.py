"""Starts the sweeper once more, for one range of shards."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent_sessions.aws_clients.failures import translated

if TYPE_CHECKING:
    from types_boto3_lambda import LambdaClient


class LambdaSelfInvoker:
    """`SelfInvoker` by asynchronous invocation. Raises `ServiceUnavailable` where Lambda does not answer."""

    def __init__(self, client: "LambdaClient", function_name: str) -> None:
        """Invoke `function_name`."""
        self._client = client
        self._function_name = function_name

    def invoke(self, payload: Mapping[str, Any]) -> None:
        """Hand `payload` over as the event of another run."""
        with translated():
            self._client.invoke(
                FunctionName=self._function_name, InvocationType="Event", Payload=json.dumps(payload).encode()
            )
