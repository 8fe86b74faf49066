"""The two drivers: they carry out steps with httpx, in the caller's thread or in its event loop."""

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from agent_sessions_client._steps import Answer, Loss, Operation, Request, Send
from agent_sessions_client.timestamps import Clock

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")


class Address:
    """Where the service is, and what every request to it carries."""

    def __init__(self, url: str, api_key: str | None) -> None:
        """`url` is the deployment's: with or without the path of the API."""
        self._root = url.rstrip("/").removesuffix("/api/messaging/sessions").removesuffix("/api/messaging")
        self._headers = {"accept": "application/json"} | ({} if api_key is None else {"x-api-key": api_key})

    def arguments(self, step: Send) -> dict[str, Any]:
        """Return what `request` of an httpx client takes."""
        request: Request = step.request
        arguments: dict[str, Any] = {
            "method": request.method,
            "url": self._root + request.path,
            "headers": {**self._headers, **request.headers},
            "timeout": step.timeout_seconds,
        }
        if request.query:
            arguments["params"] = request.query
        if request.body is not None:
            arguments["json"] = request.body
        return arguments


def _loss(error: "httpx.TransportError") -> Loss:
    import httpx  # noqa: PLC0415 - loaded by then

    not_sent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    return Loss(f"{type(error).__name__}: {error}".rstrip(": "), sent=not not_sent)


def _is_mistake(error: "httpx.TransportError") -> bool:
    """Whether the caller must change something: then it is no loss, and no repeat helps."""
    import httpx  # noqa: PLC0415 - loaded by then

    return isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError)


def _answer(response: "httpx.Response", began: float, ended: float) -> Answer:
    headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, headers, response.content, began, ended)


class SyncDriver:
    """Carries out steps in the caller's thread."""

    def __init__(self, address: Address, clock: Clock, http: "httpx.Client | None") -> None:
        self._address = address
        self._clock = clock
        self._http = http
        self._own = http is None
        self._making = threading.Lock()

    def run(self, operation: Operation[T]) -> T:
        """Carry out the steps and return what they lead to."""
        outcome: Any = None
        try:
            while True:
                step = operation.send(outcome)
                outcome = None
                if isinstance(step, Send):
                    outcome = self._send(step)
                else:
                    self._clock.sleep(step.seconds)
        except StopIteration as end:
            result: T = end.value
            return result

    def close(self) -> None:
        """Close the connections, unless the caller brought them."""
        if self._own and self._http is not None:
            self._http.close()
            self._http = None

    def _send(self, step: Send) -> Answer | Loss:
        import httpx  # noqa: PLC0415 - it takes 150 ms, which an import of this package must not

        with self._making:
            if self._http is None:
                self._http = httpx.Client()
            http = self._http
        began = self._clock.wall()
        try:
            response = http.request(**self._address.arguments(step))
        except httpx.TransportError as error:
            if _is_mistake(error):
                raise
            return _loss(error)
        return _answer(response, began, self._clock.wall())


class AsyncDriver:
    """Carries out steps in the caller's event loop."""

    def __init__(self, address: Address, clock: Clock, http: "httpx.AsyncClient | None") -> None:
        self._address = address
        self._clock = clock
        self._http = http
        self._own = http is None

    async def run(self, operation: Operation[T]) -> T:
        """Carry out the steps and return what they lead to."""
        outcome: Any = None
        try:
            while True:
                step = operation.send(outcome)
                outcome = None
                if isinstance(step, Send):
                    outcome = await self._send(step)
                else:
                    await self._clock.sleep_async(step.seconds)
        except StopIteration as end:
            result: T = end.value
            return result

    async def close(self) -> None:
        """Close the connections, unless the caller brought them."""
        if self._own and self._http is not None:
            await self._http.aclose()
            self._http = None

    async def _send(self, step: Send) -> Answer | Loss:
        import httpx  # noqa: PLC0415 - it takes 150 ms, which an import of this package must not

        if self._http is None:
            self._http = httpx.AsyncClient()
        began = self._clock.wall()
        try:
            response = await self._http.request(**self._address.arguments(step))
        except httpx.TransportError as error:
            if _is_mistake(error):
                raise
            return _loss(error)
        return _answer(response, began, self._clock.wall())
