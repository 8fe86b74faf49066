"""What the fakes of AWS's clients have in common: hooks, counting, refusals as botocore raises them, one lock."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from botocore.exceptions import ParamValidationError

from tests.engines import refusals
from tests.engines.faults import Clock, Hook
from tests.engines.refusals import Refused

Request = Mapping[str, Any]
Response = dict[str, Any]
_H = TypeVar("_H", bound=Hook)


class StoppedClock:
    """A clock for tests in which time plays no part."""

    def now_ms(self) -> int:
        """Always the same moment."""
        return 1_767_225_600_000

    def sleep(self, seconds: float) -> None:
        """Nothing to wait for."""


class Engine:
    """A fake client. `calls` counts what was asked of it, by the client's method names."""

    def __init__(self, service: str, clock: Clock | None) -> None:
        self.clock: Clock = clock or StoppedClock()
        self.calls: Counter[str] = Counter()
        self.hooks: list[Hook] = []
        self.exceptions = refusals.exceptions(service)
        self._service = service
        self._lock = threading.RLock()

    def add_hook(self, hook: _H) -> _H:
        """From now on each call passes through this hook; hooks see a call in the order in which they were added."""
        self.hooks.append(hook)
        return hook

    def remove_hook(self, hook: Hook) -> None:
        """The hook sees no more calls."""
        self.hooks.remove(hook)

    def _call(
        self, name: str, request: Request, allowed: frozenset[str], do: Callable[[Request], Response]
    ) -> Response:
        if not allowed.issuperset(request):
            self._unknown(name, request, allowed)
        missing = refusals.required(self._service, name) - request.keys()
        if missing:
            raise ParamValidationError(report=f"Missing required parameters in input: {sorted(missing)}")
        with self._lock:
            self.calls[name] += 1
        try:
            for hook in self.hooks:
                hook.before(name, request)
            with self._lock:
                response = do(request)
            response["ResponseMetadata"] = {"HTTPStatusCode": 200, "RetryAttempts": 0}
            for hook in self.hooks:
                hook.after(name, request, response)
        except Refused as refused:
            raise refusals.refusal(self._service, name, refused.code, refused.message, facts=refused.facts) from None
        return response

    def _refused(self, call: str, entry: Mapping[str, Any]) -> bool:
        return any(hook.refuses(call, entry) for hook in self.hooks)

    def _unknown(self, name: str, request: Request, allowed: Iterable[str]) -> None:
        known = refusals.members(self._service, name)
        for parameter in request.keys() - set(allowed):
            if parameter in known:
                raise NotImplementedError(f"this fake does not know {parameter} of {name}")
            raise ParamValidationError(report=f'Unknown parameter in input: "{parameter}", must be one of: {known}')
