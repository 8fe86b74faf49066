"""A web server of the test's own: it keeps what is posted to it, and answers as it is told."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any, Final, NamedTuple

SECONDS: Final = 300


class Posted(NamedTuple):
    """One request."""

    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Hook:
    """What was posted so far, and where to post it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.posted: Queue[Posted] = Queue()

    def next(self) -> Posted:
        """The next request, waited for."""
        return self.posted.get(timeout=SECONDS)


Answer = Callable[[Posted], tuple[int, Any]]


@contextmanager
def hook(answer: Answer = lambda _: (200, {})) -> Iterator[Hook]:
    """Serve for the time of the block; an answer is a status and what goes as JSON."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["content-length"])).decode()
            posted = Posted({name.lower(): value for name, value in self.headers.items()}, text)
            status, body = answer(posted)
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            found.posted.put(posted)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Hook(f"http://127.0.0.1:{server.server_port}/hook")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
