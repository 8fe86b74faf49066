"""Logs and metrics of the functions in the background, through Powertools. Sees no body and no metadata."""

from collections.abc import Mapping
from threading import Lock
from typing import Any, Final

from aws_lambda_powertools import Logger, Metrics

from agent_sessions.telemetry.metrics import unit_of
from agent_sessions.telemetry.request_log import report_unwritten

_PUBLISHING: Final = Lock()
"""Powertools keeps one set of metrics for the whole process, in which the local stack has several threads."""


class Telemetry:
    """Writes to standard output, where Lambda's log group takes it from. Never raises."""

    def __init__(self, logger: Logger, metrics: Metrics) -> None:
        """Use a configured logger and metrics collector."""
        self._logger = logger
        self._metrics = metrics

    def line(
        self,
        message: str,
        facts: Mapping[str, Any],
        crash: BaseException | None = None,
        counts: Mapping[str, float] | None = None,
    ) -> None:
        """Write one line, and the metrics after it; a `crash` makes the line an error that shows the stack."""
        try:
            if crash is None:
                self._logger.info(message, extra=dict(facts))
            else:
                self._logger.error(message, extra=dict(facts), exc_info=crash)
        except Exception as error:  # noqa: BLE001 - the run is done already
            report_unwritten(error)
        if counts:
            self.count(counts)

    def count(self, values: Mapping[str, float]) -> None:
        """Publish metrics at once."""
        with _PUBLISHING:
            try:
                for name, value in values.items():
                    self._metrics.add_metric(name, unit_of(name), value)
                self._metrics.flush_metrics()
            except Exception as error:  # noqa: BLE001 - the run is done already
                self._metrics.clear_metrics()  # else the next run would publish these as well
                report_unwritten(error)
