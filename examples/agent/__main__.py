"""Runs the agent against a local stack of its own: `python -m examples.agent`. Ctrl-C and SIGTERM end both."""

# ruff: noqa: INP001 - a function's folder is a deployment unit, not a package

import json
import os
import signal
import subprocess
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Final

from examples.agent import app

FILTER: Final = {"type": ["agent-sessions.message.created"], "role": ["user"]}


class Subscriber(BaseHTTPRequestHandler):
    """Takes what the stack posts as SNS would, and hands each event to the function as SQS would."""

    def do_POST(self) -> None:
        """Confirm the subscription, or answer a message."""
        envelope = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if envelope["Type"] == "SubscriptionConfirmation":
            urllib.request.urlopen(envelope["SubscribeURL"]).close()  # noqa: S310 - the local stack's
        else:
            record = {"messageId": envelope["MessageId"], "body": envelope["Message"]}
            failed = app.handler({"Records": [record]}, None)["batchItemFailures"]
            self.send_response(500 if failed else 200)  # 500: SNS posts it again
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Leave the terminal to the stack."""


def main() -> int:
    """Run until the stack ends; return its exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a script's background jobs start with SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    port = os.environ.get("PORT", "3000")
    os.environ |= {"API_URL": f"http://127.0.0.1:{port}", "API_KEY_PARAMETER": ""}
    os.environ.setdefault("MODEL_ID", "")
    os.environ.setdefault("INSTRUCTIONS", "You are a helpful assistant. Answer in a few sentences.")
    with ThreadingHTTPServer(("127.0.0.1", 0), Subscriber) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        subscribed = {
            "PORT": port,
            "AGENT": "none",
            "FORWARD_TO": f"http://127.0.0.1:{server.server_port}/",
            "FORWARD_FILTER": json.dumps(FILTER),
        }
        with subprocess.Popen([sys.executable, "-m", "local"], env=os.environ | subscribed) as stack:
            try:
                return stack.wait()
            except KeyboardInterrupt:
                stack.terminate()
                return stack.wait()
            finally:
                server.shutdown()


if __name__ == "__main__":
    sys.exit(main())
