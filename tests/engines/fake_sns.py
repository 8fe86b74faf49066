"""SNS in memory, behind `publish_batch` of boto3's client: it keeps what was published, and when."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from botocore.exceptions import ParamValidationError

from local.dynamo.engine import Clock, Request, Response
from local.dynamo.refusals import Refused
from tests.engines.hooked import Hooked

if TYPE_CHECKING:
    from types_boto3_sns import SNSClient

_ENTRIES: Final = 10
_BYTES: Final = 256 * 1024
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")
_ATTRIBUTE_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,256}")
_PUBLISH_BATCH: Final = frozenset({"TopicArn", "PublishBatchRequestEntries"})
_ENTRY: Final = frozenset({"Id", "Message", "MessageAttributes", "Subject"})


@dataclass(frozen=True)
class Published:
    """One message as its subscribers get it."""

    topic: str
    message: str
    attributes: Mapping[str, str]
    at_ms: int


class FakeSns(Hooked):
    """An SNS client; `published` has every message, in order. `topics` are those that exist; None: all."""

    def __init__(self, clock: Clock | None = None, topics: Sequence[str] | None = None) -> None:
        super().__init__("sns", clock)
        self.published: list[Published] = []
        self._topics = topics
        self.never_takes: Callable[[Mapping[str, Any]], bool] = lambda _entry: False
        """Entries that are answered as the sender's fault, however often they are sent."""

    def as_client(self) -> "SNSClient":
        """This fake, for what is typed to take boto3's client."""
        return cast("SNSClient", self)

    def publish_batch(self, **request: Any) -> Response:
        """PublishBatch."""
        return self._call("publish_batch", request, _PUBLISH_BATCH, self._publish_batch)

    def _publish_batch(self, request: Request) -> Response:
        topic, entries = request["TopicArn"], request["PublishBatchRequestEntries"]
        if self._topics is not None and topic not in self._topics:
            raise Refused("NotFound", "Topic does not exist")
        self._check(entries)
        successful, failed = [], []
        for entry in entries:
            if self._refused("publish_batch", entry):
                failed.append(
                    {"Id": entry["Id"], "Code": "InternalError", "Message": "made to fail", "SenderFault": False}
                )
                continue
            if self.never_takes(entry):
                failed.append(
                    {"Id": entry["Id"], "Code": "InvalidParameter", "Message": "made to fail", "SenderFault": True}
                )
                continue
            attributes = {
                name: attribute["StringValue"] for name, attribute in entry.get("MessageAttributes", {}).items()
            }
            self.published.append(Published(topic, entry["Message"], attributes, self.clock.now_ms()))
            successful.append({"Id": entry["Id"], "MessageId": f"message-{len(self.published)}"})
        return {"Successful": successful, "Failed": failed}

    def _check(self, entries: Sequence[Mapping[str, Any]]) -> None:
        if not entries:
            raise Refused("EmptyBatchRequest", "The batch request doesn't contain any entries.")
        if len(entries) > _ENTRIES:
            raise Refused("TooManyEntriesInBatchRequest", "The batch request contains more entries than permissible.")
        for entry in entries:
            _check_entry(entry)
        ids = [entry["Id"] for entry in entries]
        if len(set(ids)) < len(ids):
            raise Refused("BatchEntryIdsNotDistinct", "Two or more batch entries in the request have the same Id.")
        if sum(_weight(entry) for entry in entries) > _BYTES:
            raise Refused("BatchRequestTooLong", "The length of all the batch messages put together is too long.")


def _check_entry(entry: Mapping[str, Any]) -> None:
    for name in ("Id", "Message"):
        if not isinstance(entry.get(name), str):
            raise ParamValidationError(report=f"Missing or invalid parameter in a batch entry: {name}")
    unknown = entry.keys() - _ENTRY
    if unknown:
        raise NotImplementedError(f"this fake does not know {sorted(unknown)} of a batch entry")
    if not _ID.fullmatch(entry["Id"]):
        raise Refused(
            "InvalidBatchEntryId", f"The Id of a batch entry doesn't abide by the specification: {entry['Id']}"
        )
    if not entry["Message"]:
        raise Refused("InvalidParameter", "Invalid parameter: Empty message")
    for name, attribute in entry.get("MessageAttributes", {}).items():
        _check_attribute(name, attribute)


def _check_attribute(name: str, attribute: Mapping[str, Any]) -> None:
    if not _ATTRIBUTE_NAME.fullmatch(name):
        raise Refused("ParameterValueInvalid", f"Invalid message attribute name: {name}")
    if attribute.get("DataType") != "String":
        raise NotImplementedError("this fake knows attributes of type String only")
    if attribute.keys() != {"DataType", "StringValue"}:
        raise Refused("ParameterValueInvalid", f"The message attribute {name} must have a StringValue, and no other.")
    if not attribute["StringValue"]:
        raise Refused("ParameterValueInvalid", f"The message attribute {name} must contain a non-empty value.")


def _weight(entry: Mapping[str, Any]) -> int:
    """Bytes that count against the limit: the message, and its attributes' names, types and values."""
    return len(entry["Message"].encode()) + sum(
        len(name.encode()) + sum(len(part.encode()) for part in attribute.values())
        for name, attribute in entry.get("MessageAttributes", {}).items()
    )
