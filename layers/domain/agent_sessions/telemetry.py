"""Logs and metrics through Powertools: one JSON line a request, EMF for the counts. Sees no body and no metadata."""

import sys
from collections.abc import Mapping
from contextlib import suppress
from threading import Lock
from typing import Any, Final

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

_PUBLISHING: Final = Lock()
"""Powertools keeps one set of metrics for the whole process, in which the local stack has several threads."""


class Telemetry:
    """Writes to standard output, where Lambda's log group takes it from. Never raises."""

    def __init__(self, logger: Logger, metrics: Metrics) -> None:
        """Use a configured logger and metrics collector."""
        self._logger = logger
        self._metrics = metrics

    def line(self, message: str, facts: Mapping[str, Any], crash: BaseException | None = None) -> None:
        """Write one line; a `crash` makes it an error that shows the stack."""
        try:
            if crash is None:
                self._logger.info(message, extra=dict(facts))
            else:
                self._logger.error(message, extra=dict(facts), exc_info=crash)
        except Exception as error:  # noqa: BLE001 - the request or the run is done already
            _report(error)

    def count(self, values: Mapping[str, float]) -> None:
        """Publish metrics at once; a name that ends in `Seconds` has that unit, the others are counts."""
        with _PUBLISHING:
            try:
                for name, value in values.items():
                    unit = MetricUnit.Seconds if name.endswith("Seconds") else MetricUnit.Count
                    self._metrics.add_metric(name, unit, value)
                self._metrics.flush_metrics()
            except Exception as error:  # noqa: BLE001 - the request or the run is done already
                self._metrics.clear_metrics()  # else the next request would publish these as well
                _report(error)


def _report(error: Exception) -> None:
    """Report on standard error, in one line, that a log line or a metric could not be written."""
    with suppress(Exception):
        sys.stderr.write(f"A log line or a metric could not be written: {error!r}\n")
