"""DynamoDB for the requests' functions, without the SDK: botocore's arguments, answers and refusals for a few calls.

Knows DynamoDB's JSON, and when a call is repeated. Tests hold it to botocore: the same requests, results and refusals.
"""

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from typing import Any, Final

from agent_sessions.aws_clients.failures import is_busy
from agent_sessions.aws_clients.lean_access import Credentials, Signer, endpoint_of
from agent_sessions.aws_clients.lean_http import Connections, HttpAnswer, Limits, trust
from agent_sessions.clock import SystemClock

Json = dict[str, Any]

_EXPIRED: Final = frozenset({"ExpiredTokenException", "ExpiredToken"})
_OK: Final = 200
_SERVER_ERROR: Final = 500


class DynamoDbError(Exception):
    """DynamoDB refused a call. `response` is what botocore's `ClientError` has under this name."""

    def __init__(self, response: Json, operation: str) -> None:
        """Carry the answer: `Error` with `Code` and `Message`, `ResponseMetadata`, and what else DynamoDB returned."""
        self.response = response
        self.operation_name = operation
        error = response["Error"]
        super().__init__(f"An error occurred ({error['Code']}) when calling {operation}: {error['Message']}")


class LeanDynamoDb:
    """What the stores call of botocore's client of DynamoDB. Threads may share it.

    Every method raises `DynamoDbError` where DynamoDB refuses, and OSError where it did not answer in time or not
    readably: the call may then have been done.
    """

    def __init__(
        self, environ: Mapping[str, str], clock: SystemClock, jitter: Callable[[], float], limits: Limits, attempts: int
    ) -> None:
        """Call the endpoint that `environ` names, up to `attempts` times, with pauses of `jitter()` seconds.

        Raises:
            SettingsError: `environ` lacks a setting, or asks for what only botocore can do.

        """
        endpoint = endpoint_of(environ)
        context = trust(environ) if endpoint.tls else None
        self._connections = Connections(endpoint.host, endpoint.port, context, limits, clock.elapsed_seconds)
        self._credentials = Credentials(environ)
        self._signer = Signer(endpoint)
        self._clock = clock
        self._jitter = jitter
        self._attempts = attempts
        self._ahead_seconds = 0.0
        """How far DynamoDB's clock is ahead of this machine's, once it has refused a signature for its time."""

    def put_item(self, **request: Any) -> Json:  # noqa: ANN401 - DynamoDB's parameters, as botocore takes them
        """Write an item. The call is made once, as `send_puts_once` in `tuning` has it: whoever writes looks for it."""
        return self._call("PutItem", request, 1)

    def get_item(self, **request: Any) -> Json:  # noqa: ANN401 - DynamoDB's parameters
        """Read an item."""
        return self._call("GetItem", request, self._attempts)

    def update_item(self, **request: Any) -> Json:  # noqa: ANN401 - DynamoDB's parameters
        """Change an item."""
        return self._call("UpdateItem", request, self._attempts)

    def delete_item(self, **request: Any) -> Json:  # noqa: ANN401 - DynamoDB's parameters
        """Delete an item."""
        return self._call("DeleteItem", request, self._attempts)

    def query(self, **request: Any) -> Json:  # noqa: ANN401 - DynamoDB's parameters
        """Read the items of one partition."""
        return self._call("Query", request, self._attempts)

    def batch_get_item(self, **request: Any) -> Json:  # noqa: ANN401 - DynamoDB's parameters
        """Read many items."""
        return self._call("BatchGetItem", request, self._attempts)

    def batch_write_item(self, **request: Any) -> Json:  # noqa: ANN401 - DynamoDB's parameters
        """Write and delete many items."""
        return self._call("BatchWriteItem", request, self._attempts)

    def transact_write_items(self, **request: Any) -> Json:  # noqa: ANN401 - DynamoDB's parameters
        """Write many items, all or none. The call is made once, as that of `put_item` is."""
        return self._call("TransactWriteItems", request, 1)

    def close(self) -> None:
        """Close the connections that are kept."""
        self._connections.close()

    def _call(self, operation: str, request: Json, attempts: int) -> Json:
        body = _ENCODE(request).encode()
        retries = 0
        repaired = False
        while True:
            try:
                answer = self._send(operation, body)
                result = _read(answer)
            except OSError:
                if retries + 1 >= attempts:
                    raise
            else:
                result["ResponseMetadata"] |= {"RetryAttempts": retries}
                if answer.status == _OK:
                    return result
                code = result["Error"]["Code"]
                if not repaired and self._repair(code, result["Error"]["Message"], answer.headers):
                    repaired = True
                    continue  # nothing was done, and the next call need not wait
                if retries + 1 >= attempts or not (is_busy(code) or answer.status >= _SERVER_ERROR):
                    raise DynamoDbError(result, operation)
            retries += 1
            self._clock.sleep(self._jitter())

    def _send(self, operation: str, body: bytes) -> HttpAnswer:
        now = self._clock.now_ms() / 1000 + self._ahead_seconds
        target = f"DynamoDB_20120810.{operation}"
        return self._connections.post(self._signer.headers(self._credentials.current(), now, target, body), body)

    def _repair(self, code: str, message: str, headers: Mapping[str, str]) -> bool:
        """Repair what a signature was refused for: expired credentials, or this machine's clock."""
        if code in _EXPIRED:
            self._credentials.renew()
            return True
        if code == "InvalidSignatureException" and ("expired" in message or "not yet current" in message):
            from email.utils import parsedate_to_datetime  # noqa: PLC0415 - hardly ever needed

            try:
                theirs = parsedate_to_datetime(headers["date"]).timestamp()
            except (KeyError, ValueError):
                return False
            self._ahead_seconds = theirs - self._clock.now_ms() / 1000
            return True
        return False


def _blob(value: object) -> str:
    """Write bytes as DynamoDB's JSON has them."""
    if isinstance(value, bytes | bytearray):
        return b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} is no value of DynamoDB's")


def _bytes(found: Json) -> Json:
    """Read bytes. A value is an object of one member whose name is its kind: {"B": "AAE="} holds two bytes.

    An item's attribute that happens to be called B holds an object, not text, and stays.
    """
    if "B" in found and isinstance(found["B"], str):
        found["B"] = b64decode(found["B"])
    elif "BS" in found and isinstance(found["BS"], list):
        found["BS"] = [b64decode(each) for each in found["BS"]]
    return found


_ENCODE: Final = json.JSONEncoder(default=_blob).encode
_DECODE: Final = json.JSONDecoder(object_hook=_bytes).decode


def _read(answer: HttpAnswer) -> Json:
    """Return the answer as botocore would; raise ConnectionError where it did not come whole."""
    status, headers, body = answer
    expected = headers.get("x-amz-crc32")
    if expected is not None and expected != str(zlib.crc32(body)):
        raise ConnectionError("the answer does not have the checksum that it names")
    try:
        found = _DECODE(body.decode())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ConnectionError(f"the answer, of status {status}, is no JSON object")
    found["ResponseMetadata"] = {
        "RequestId": headers.get("x-amzn-requestid", ""),
        "HTTPStatusCode": status,
        "HTTPHeaders": headers,
    }
    if status != _OK:
        code = found.pop("__type", str(status)).rpartition("#")[2]
        message = found.pop("message", None) or found.pop("Message", "")
        found["Error"] = {"Code": code, "Message": message}
    return found
