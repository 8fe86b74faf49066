"""What a service in memory shares with boto3's client of it: parameters are checked, errors are botocore's own."""

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from botocore.exceptions import ParamValidationError

from local.dynamo import refusals
from local.dynamo.refusals import Refused

Request = Mapping[str, Any]
Response = dict[str, Any]
Do = Callable[[Request], Response]


class Clock(Protocol):
    """The time by which records are dated and indexes lag."""

    def now_ms(self) -> int: ...


class StoppedClock:
    """A clock for a use in which time plays no part."""

    def now_ms(self) -> int:
        """Always the same moment."""
        return 1_767_225_600_000

    def sleep(self, seconds: float) -> None:
        """Return at once."""


class Engine:
    """One service. Any number of threads may call it; it carries out one call at a time."""

    def __init__(self, service: str, clock: Clock | None) -> None:
        """`service` is botocore's name of it; without a clock, time stands still."""
        self.clock: Clock = clock or StoppedClock()
        self.exceptions = refusals.exceptions(service)
        self._service = service
        self._lock = threading.RLock()

    def _call(self, name: str, request: Request, allowed: frozenset[str], do: Do) -> Response:
        """Check the names of the parameters, carry the call out and raise a refusal as botocore would."""
        if not allowed.issuperset(request):
            self._unknown(name, request, allowed)
        missing = refusals.required(self._service, name) - request.keys()
        if missing:
            raise ParamValidationError(report=f"Missing required parameters in input: {sorted(missing)}")
        try:
            return self._answer(name, request, do)
        except Refused as refused:
            raise refusals.refusal(self._service, name, refused.code, refused.message, facts=refused.facts) from None

    def _answer(self, _name: str, request: Request, do: Do) -> Response:
        """Carry out a call whose parameters are known."""
        with self._lock:
            response = do(request)
        response["ResponseMetadata"] = {"HTTPStatusCode": 200, "RetryAttempts": 0}
        return response

    def _refused(self, _call: str, _entry: Mapping[str, Any]) -> bool:
        """Whether one entry of a batch is left undone while the call succeeds. Tests override this."""
        return False

    def _unknown(self, name: str, request: Request, allowed: Iterable[str]) -> None:
        known = refusals.members(self._service, name)
        for parameter in request.keys() - set(allowed):
            if parameter in known:
                raise NotImplementedError(f"the engine does not know {parameter} of {name}")
            raise ParamValidationError(report=f'Unknown parameter in input: "{parameter}", must be one of: {known}')
