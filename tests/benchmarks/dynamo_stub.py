"""Answers DynamoDB's calls over plain HTTP with the session last put, so that every stack meets the same other side.

`python dynamo_stub.py [CERTIFICATE]` prints the port it listens at and serves until it is ended, over TLS where there
is a certificate with its key. `Memory` is what it answers with; the warm benchmarks put it below HTTP without a server.
"""

import json
import ssl
import sys
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Memory:
    """The session first put, as DynamoDB would return it. Answers are made once: the stub costs next to nothing."""

    def __init__(self) -> None:
        self._answers: dict[str, bytes] = {"PutItem": b"{}", "GetItem": b"{}"}

    def answer(self, target: str, body: bytes) -> bytes:
        operation = target.partition(".")[2]
        if operation == "GetItem" and b'"tenantId"' in body:
            return b"{}"  # an agent's policy: there is none
        if operation == "PutItem" and "UpdateItem" not in self._answers:
            item = json.loads(body)["Item"]
            self._answers["GetItem"] = json.dumps({"Item": item}).encode()
            self._answers["UpdateItem"] = json.dumps({"Attributes": item}).encode()
            spoken = {"lastSeq": {"N": "1"}, "lastMessageAt": item["createdAt"], "openSeq": {"N": "1"}}
            self._answers["number"] = json.dumps({"Attributes": item | spoken}).encode()
        return self._answers["number" if operation == "UpdateItem" and b"lastSeq" in body else operation]


def headers(answer: bytes) -> dict[str, str]:
    return {
        "content-type": "application/x-amz-json-1.0",
        "content-length": str(len(answer)),
        "x-amz-crc32": str(zlib.crc32(answer)),
        "x-amzn-requestid": "0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123",
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    memory = Memory()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        answer = self.memory.answer(self.headers["x-amz-target"], body)
        self.send_response_only(200)
        for name, value in headers(answer).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    if sys.argv[1:]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[1])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()
