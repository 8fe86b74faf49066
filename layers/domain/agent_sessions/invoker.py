"""Starts the sweeper once more, for one range of shards."""

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from agent_sessions.aws import translated

if TYPE_CHECKING:
    from types_boto3_lambda import LambdaClient


class LambdaSelfInvoker:
    """`SelfInvoker` by asynchronous invocation. Raises `ServiceUnavailable` where Lambda does not answer."""

    def __init__(self, client: "Callable[[], LambdaClient]", function_name: str) -> None:
        """Invoke `function_name`; the client is made when it is first needed, which without fan-out is never."""
        self._client = client
        self._function_name = function_name

    def invoke(self, payload: Mapping[str, Any]) -> None:
        """Hand `payload` over as the event of another run."""
        with translated():
            self._client().invoke(
                FunctionName=self._function_name, InvocationType="Event", Payload=json.dumps(payload).encode()
            )
