"""One JSON line a request on standard output; where something is counted, the line publishes that as well.

Such a line is a document of CloudWatch's embedded metric format (EMF) that also carries the facts of the request. Its
metrics have the form that Powertools gives them, and tests hold it to that. Powertools itself would write two lines.
Sees no body and no metadata.
"""

import sys
from collections.abc import Mapping
from contextlib import suppress
from json import JSONEncoder
from typing import Any, Final

from agent_sessions.clock import Clock
from agent_sessions.telemetry.metrics import REQUEST_ERRORS, unit_of

_encode: Final = JSONEncoder(separators=(",", ":"), default=str).encode


class RequestLog:
    """Writes the lines of one function on the request path. Never raises."""

    def __init__(self, clock: Clock, *, namespace: str, service: str, quiet: bool) -> None:
        """Publish metrics in `namespace` with `service` as their dimension.

        A `quiet` log keeps the facts of crashes and server errors only. Metrics are published in any case.
        """
        self._clock = clock
        self._namespace = namespace
        self._service = service
        self._quiet = quiet
        self._first = True
        self._heads: dict[tuple[str, ...], str] = {}

    def line(
        self,
        message: str,
        facts: Mapping[str, Any],
        crash: BaseException | None = None,
        counts: Mapping[str, float] | None = None,
    ) -> None:
        """Write one line; a `crash` makes it an error that has the `message` and shows the stack."""
        try:
            shown = dict(facts)
            if self._first:
                self._first = False
                shown["cold_start"] = True
            if crash is not None:
                shown = {"level": "ERROR", "message": message, **shown, **_stack(crash)}
            elif self._quiet and REQUEST_ERRORS not in (counts or ()):
                shown = {}
            if shown or counts:
                sys.stdout.write(self._text(shown, counts))
        except Exception as error:  # noqa: BLE001 - the request is done already
            report_unwritten(error)

    def count(self, values: Mapping[str, float]) -> None:
        """Publish metrics that belong to no request."""
        try:
            sys.stdout.write(self._text({}, values))
        except Exception as error:  # noqa: BLE001 - what is counted is done already
            report_unwritten(error)

    def _text(self, facts: Mapping[str, Any], counts: Mapping[str, float] | None) -> str:
        if not counts:
            return f"{_encode(facts)}\n"
        names = tuple(counts)
        head = self._heads.get(names)
        if head is None:
            head = self._heads[names] = self._head(names)
        values = {name: [float(value)] for name, value in counts.items()}
        return f'{{"_aws":{{"Timestamp":{self._clock.now_ms()},{head},{_encode({**values, **facts})[1:]}\n'

    def _head(self, names: tuple[str, ...]) -> str:
        """Return what every line with these metrics has between its time and its values."""
        metrics = [{"Name": name, "Unit": unit_of(name)} for name in names]
        directive = {"Namespace": self._namespace, "Dimensions": [["service"]], "Metrics": metrics}
        return f'"CloudWatchMetrics":{_encode([directive])}}},"service":{_encode(self._service)}'


def _stack(crash: BaseException) -> dict[str, str]:
    from traceback import format_exception  # noqa: PLC0415 - few starts crash

    return {"exception": "".join(format_exception(crash)), "exception_name": type(crash).__name__}


def report_unwritten(error: Exception) -> None:
    """Report on standard error, in one line, that a log line or a metric could not be written."""
    with suppress(Exception):
        sys.stderr.write(f"A log line or a metric could not be written: {error!r}\n")
