"""What goes wrong with AWS, ready to be hooked into the fakes: throttling, lost connections, partial batches, death.

A hook sees every call of the engine it was added to, before it is done and after. It may raise: before means that the
call was not done, after that it was done and its answer lost. One hook may be added to several engines.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

from botocore.exceptions import ConnectionClosedError

from local.dynamo.refusals import Refused

When = Literal["before", "after"]


class Clock(Protocol):
    """A clock that calls can take time by."""

    def now_ms(self) -> int: ...

    def sleep(self, seconds: float) -> None: ...


class Hook:
    """Does nothing: override what is wanted."""

    def before(self, call: str, request: Mapping[str, Any]) -> None:
        """Called before a call is done."""

    def after(self, call: str, request: Mapping[str, Any], response: dict[str, Any]) -> None:
        """Called after a call succeeded; may change the answer."""

    def refuses(self, call: str, entry: Mapping[str, Any]) -> bool:
        """Whether one entry of a batch (a key, a statement, a message) is left undone while the call succeeds."""
        return False


class Killed(BaseException):
    """The process is gone: no handler of exceptions may survive it."""


class _Some(Hook):
    """Acts on calls of one name (or any), for some times (or always), skipping the first ones."""

    def __init__(self, call: str | None, times: int | None, skip: int = 0) -> None:
        self.call = call
        self.left = times
        self.skip = skip
        self.acted = 0
        self._lock = threading.Lock()

    def _acts(self, call: str) -> bool:
        if self.call not in (None, call):
            return False
        with self._lock:
            if self.skip > 0:
                self.skip -= 1
                return False
            if self.left is not None:
                if self.left <= 0:
                    return False
                self.left -= 1
            self.acted += 1
            return True


class _Raise(_Some):
    def __init__(
        self, call: str | None, times: int | None, when: When, error: Callable[[], BaseException], skip: int = 0
    ) -> None:
        super().__init__(call, times, skip)
        self._when = when
        self._error = error

    def before(self, call: str, request: Mapping[str, Any]) -> None:
        if self._when == "before" and self._acts(call):
            raise self._error()

    def after(self, call: str, request: Mapping[str, Any], response: dict[str, Any]) -> None:
        if self._when == "after" and self._acts(call):
            raise self._error()


def fail(
    call: str | None,
    code: str,
    *,
    times: int | None = None,
    skip: int = 0,
    when: When = "before",
    message: str = "made to fail",
) -> Hook:
    """Calls of this name (None: all) answer with this error; `times` None is for ever."""
    return _Raise(call, times, when, lambda: Refused(code, message), skip)


def throttle(call: str | None, times: int | None = None, *, skip: int = 0) -> Hook:
    """Calls are throttled, as DynamoDB says it; SNS's own word is `Throttled`: use `fail` for that."""
    return fail(
        call,
        "ProvisionedThroughputExceededException",
        times=times,
        skip=skip,
        message="The level of configured provisioned throughput for the table was exceeded.",
    )


def connection_lost(call: str | None, when: When, times: int | None = 1, *, skip: int = 0) -> Hook:
    """The connection breaks before the call arrives, or after it was done and before its answer arrives."""
    return _Raise(call, times, when, lambda: ConnectionClosedError(endpoint_url="https://fake"), skip)


class _Refuse(_Some):
    def __init__(self, call: str, times: int | None, which: Callable[[Mapping[str, Any]], bool], skip: int = 0) -> None:
        super().__init__(call, times, skip)
        self._which = which

    def refuses(self, call: str, entry: Mapping[str, Any]) -> bool:
        return call == self.call and self._which(entry) and self._acts(call)


def _any_entry(_entry: Mapping[str, Any]) -> bool:
    return True


def _leaves_undone(call: str) -> Callable[..., Hook]:
    """Make a hook for entries of a batch call: `times` (None: all) of those that `which` picks, after `skip` others."""

    def hook(times: int | None = 1, *, skip: int = 0, which: Callable[[Mapping[str, Any]], bool] = _any_entry) -> Hook:
        return _Refuse(call, times, which, skip)

    return hook


unprocessed_keys = _leaves_undone("batch_get_item")
"""BatchGetItem leaves keys under UnprocessedKeys."""
unprocessed_items = _leaves_undone("batch_write_item")
"""BatchWriteItem leaves requests under UnprocessedItems."""
statements_throttled = _leaves_undone("batch_execute_statement")
"""BatchExecuteStatement answers statements with a throttling Error, undone."""
messages_failed = _leaves_undone("publish_batch")
"""PublishBatch answers 200 with entries under Failed, not delivered."""


class Kill(Hook):
    """Kills the process at its n-th call (from 0), before or after it. Every later call of it finds it dead as well."""

    def __init__(self, nth: int, when: When, call: str | None = None) -> None:
        self.dead = False
        self.seen = 0
        self._nth = nth
        self._when = when
        self._call = call
        self._lock = threading.Lock()
        self._mine = threading.local()

    def before(self, call: str, request: Mapping[str, Any]) -> None:
        """Count the call, and die where it is the one."""
        with self._lock:
            if self.dead:
                raise Killed
            self._mine.chosen = False
            if self._call in (None, call):
                self._mine.chosen = self.seen == self._nth
                self.seen += 1
            if self._mine.chosen and self._when == "before":
                self.dead = True
                raise Killed

    def after(self, call: str, request: Mapping[str, Any], response: dict[str, Any]) -> None:
        """Die where the call was the one; a call that was under way elsewhere was done, but nobody learns it."""
        with self._lock:
            if self.dead or (self._mine.chosen and self._when == "after"):
                self.dead = True
                raise Killed


class Latency(Hook):
    """Each call (of one name, or any) takes this long by the clock: half on its way there, half on its way back."""

    def __init__(self, clock: Clock, milliseconds: float, call: str | None = None) -> None:
        self._clock = clock
        self._half_seconds = milliseconds / 2000
        self._call = call

    def before(self, call: str, request: Mapping[str, Any]) -> None:
        """Let the way there pass."""
        if self._call in (None, call):
            self._clock.sleep(self._half_seconds)

    def after(self, call: str, request: Mapping[str, Any], response: dict[str, Any]) -> None:
        """Let the way back pass."""
        if self._call in (None, call):
            self._clock.sleep(self._half_seconds)


class Meanwhile(_Some):
    """Somebody else does something just before or after a call: how races are lost. The action's own calls pass."""

    def __init__(
        self, call: str | None, when: When, action: Callable[[], object], times: int | None = 1, *, skip: int = 0
    ) -> None:
        super().__init__(call, times, skip)
        self._when = when
        self._action = action
        self._acting = threading.local()

    def before(self, call: str, request: Mapping[str, Any]) -> None:
        """Act before the call."""
        if self._when == "before":
            self._act(call)

    def after(self, call: str, request: Mapping[str, Any], response: dict[str, Any]) -> None:
        """Act after the call, and before its answer arrives."""
        if self._when == "after":
            self._act(call)

    def _act(self, call: str) -> None:
        if getattr(self._acting, "now", False) or not self._acts(call):
            return
        self._acting.now = True
        try:
            self._action()
        finally:
            self._acting.now = False


class Log(Hook):
    """Keeps every call with its request, in order."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Mapping[str, Any]]] = []

    def before(self, call: str, request: Mapping[str, Any]) -> None:
        """Write the call down."""
        self.calls.append((call, request))
