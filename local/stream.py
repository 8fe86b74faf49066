"""Lambda's part for a table's stream: hands its records to a function in batches, in order, until each is done."""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from moto.events.models import EventPattern

from local.dynamo.stream import Record, json_item
from template_reader import StreamSource

_LOOK_EVERY_SECONDS: Final = 1.0
"""How long the mapping waits for the word that something was written: then it looks by itself, or tries again."""

ReadStream = Callable[[str | None], Sequence[Record]]
"""Returns the records behind a sequence number, oldest first; None stands before the first."""


class StreamMapping:
    """An event source mapping, with the filter and the batch size of the template.

    `position` is the sequence number up to which everything is done; each step is given to `keep_position`.
    """

    def __init__(
        self,
        source: StreamSource,
        read: ReadStream,
        function: Callable[[dict[str, Any]], Any],
        *,
        position: str | None = None,
        keep_position: Callable[[str], object] = lambda _: None,
        on_failure: Callable[[BaseException], object] = lambda _: None,
    ) -> None:
        """Nothing is handed over before `deliver` or `start`."""
        self._patterns = [EventPattern(text, json.loads(text)) for text in source.patterns]
        self._batch_size = source.batch_size
        self._read = read
        self._function = function
        self._position = position
        self._keep_position = keep_position
        self._on_failure = on_failure
        self._one_at_a_time = threading.Lock()
        self._written = threading.Event()
        self._ending = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Deliver by itself from now on."""
        self._thread = threading.Thread(target=self._run, name="stream", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Deliver what there is, and no more by itself."""
        self._ending = True
        self._written.set()
        if self._thread is not None:
            self._thread.join()

    def wake(self) -> None:
        """Look at the stream now, in the mapping's own thread."""
        self._written.set()

    def deliver(self) -> bool:
        """Hand over all that the stream has; return False where the function could not do all of it."""
        with self._one_at_a_time:
            try:
                return self._deliver()
            except (BotoCoreError, ClientError) as failure:
                self._on_failure(failure)
                return False

    def _deliver(self) -> bool:
        while records := self._read(self._position):
            batch: list[Record] = []
            read_to = self._position
            for record in records:
                if self._lets_through(record):
                    if len(batch) == self._batch_size:
                        break
                    batch.append(record)
                read_to = record["dynamodb"]["SequenceNumber"]
            failed = self._hand_over(batch) if batch else None
            if failed is not None:
                read_to = self._before(records, failed)
            if read_to is not None and read_to != self._position:
                self._position = read_to
                self._keep_position(read_to)
            if failed is not None:
                return False
        return True

    def _hand_over(self, batch: list[Record]) -> str | None:
        """Call the function; return the lowest sequence number that it reports as failed."""
        first = str(batch[0]["dynamodb"]["SequenceNumber"])
        try:
            answer = self._function({"Records": batch})
            failures = [str(each["itemIdentifier"]) for each in answer["batchItemFailures"]]
        except Exception as failure:  # noqa: BLE001 - as Lambda: whatever it was, the batch comes again
            self._on_failure(failure)
            return first
        return min(failures, key=lambda number: int(number or first), default=None)

    def _before(self, records: Sequence[Record], failed: str) -> str | None:
        """The sequence number before the failed one."""
        numbers = [str(record["dynamodb"]["SequenceNumber"]) for record in records]
        place = numbers.index(failed) if failed in numbers else 0
        return numbers[place - 1] if place else self._position

    def _lets_through(self, record: Record) -> bool:
        event: Any = record
        return not self._patterns or any(pattern.matches_event(event) for pattern in self._patterns)

    def _run(self) -> None:
        while not self._ending:
            self._written.wait(_LOOK_EVERY_SECONDS)
            self._written.clear()
            self.deliver()


class DynamoDbLocalStream:
    """The stream of one table in DynamoDB Local, whose records it dates by the local clock.

    DynamoDB Local counts a table's records in one row, over all shards and over restarts.
    """

    def __init__(self, client: Any, stream_arn: str, offset_ms: Callable[[], int]) -> None:
        """`offset_ms` is how far ahead of real time the local clock is."""
        self._client = client
        self._stream_arn = stream_arn
        self._offset_ms = offset_ms

    def __call__(self, after: str | None) -> list[Record]:
        """Return the records behind a sequence number, up to the end of the shard that has the next one."""
        shards = self._client.describe_stream(StreamArn=self._stream_arn)["StreamDescription"].get("Shards", [])
        for shard in shards:
            numbers = shard["SequenceNumberRange"]
            ends = numbers.get("EndingSequenceNumber")
            if after is not None and ends is not None and int(ends) <= int(after):
                continue
            begins_later = after is None or int(numbers["StartingSequenceNumber"]) > int(after)
            records = self._records(shard["ShardId"], None if begins_later else after)
            if records:
                return [self._as_lambda_has_it(record) for record in records]
        return []

    def _records(self, shard_id: str, after: str | None) -> list[Any]:
        where: dict[str, Any] = {"ShardIteratorType": "TRIM_HORIZON"}
        if after is not None:
            where = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": after}
        try:
            iterator = self._client.get_shard_iterator(StreamArn=self._stream_arn, ShardId=shard_id, **where)
            found: list[Any] = self._client.get_records(ShardIterator=iterator["ShardIterator"])["Records"]
        except ClientError as error:
            if after is None or error.response["Error"]["Code"] != "TrimmedDataAccessException":
                raise
            return self._records(shard_id, None)  # a stack that was stopped for a day: what is older is gone
        return found

    def _as_lambda_has_it(self, record: Mapping[str, Any]) -> Record:
        change = dict(record["dynamodb"])
        created = change["ApproximateCreationDateTime"].timestamp() + self._offset_ms() / 1000
        change["ApproximateCreationDateTime"] = round(created)
        for image in ("Keys", "NewImage", "OldImage"):
            if image in change:
                change[image] = json_item(change[image])
        return {**record, "dynamodb": change, "eventSourceARN": self._stream_arn}
