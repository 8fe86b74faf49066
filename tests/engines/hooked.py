"""What tests add to an engine: hooks around each call, and a count of the calls."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeVar

from local.dynamo.engine import Clock, Do, Engine, Request, Response
from tests.engines.faults import Hook

_H = TypeVar("_H", bound=Hook)


class Hooked(Engine):
    """An engine whose calls pass through hooks. `calls` counts them by the client's method names."""

    def __init__(self, service: str, clock: Clock | None) -> None:
        super().__init__(service, clock)
        self.calls: Counter[str] = Counter()
        self.hooks: list[Hook] = []

    def add_hook(self, hook: _H) -> _H:
        """From now on each call passes through this hook; hooks see a call in the order in which they were added."""
        self.hooks.append(hook)
        return hook

    def remove_hook(self, hook: Hook) -> None:
        """The hook sees no more calls."""
        self.hooks.remove(hook)

    def _answer(self, name: str, request: Request, do: Do) -> Response:
        with self._lock:
            self.calls[name] += 1
        for hook in self.hooks:
            hook.before(name, request)
        response = super()._answer(name, request, do)
        for hook in self.hooks:
            hook.after(name, request, response)
        return response

    def _refused(self, call: str, entry: Mapping[str, Any]) -> bool:
        return any(hook.refuses(call, entry) for hook in self.hooks)
