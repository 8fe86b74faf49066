"""Runs a stack under Lambda's runtime interface emulator and runtime client, whole or under valgrind; no Docker."""

import json
import os
import platform
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from tests.benchmarks.certificates import HOST
from tests.benchmarks.trees import PYTHON, ROOT, Tree
from tests.e2e.serving import free_port

START_SECONDS: Final = 30
INVOKE_SECONDS: Final = 600  # valgrind takes its time


class Emulated:
    """One execution environment. The function starts with the first invocation, as Lambda's does."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        """Talk to the emulator at `port`."""
        self._process = process
        self._port = port
        self._log = log

    def invoke(self, event: object) -> tuple[dict[str, Any], float]:
        """The function's answer, and the seconds until it came."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=INVOKE_SECONDS)
        started = time.perf_counter()
        try:
            connection.request("POST", "/2015-03-31/functions/function/invocations", json.dumps(event))
            body = connection.getresponse().read()
        finally:
            connection.close()
        seconds = time.perf_counter() - started
        answer: dict[str, Any] = json.loads(body)
        if "isAuthorized" not in answer and answer.get("statusCode", 500) >= 300:
            raise RuntimeError(f"the function answered {answer}\n{self.log}")
        return answer, seconds

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def runtime(self) -> int:
        """The process id of the runtime, once there is one."""
        (runtime,) = self._runtimes()
        return runtime

    @property
    def cpu_seconds(self) -> float:
        """Processor time of the runtime so far: of all its threads, as the scheduler counts it, in nanoseconds."""
        threads = Path(f"/proc/{self.runtime}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9

    def end_runtime(self) -> None:
        """End the runtime as Lambda does: at once. valgrind writes its counts even so."""
        os.kill(self.runtime, signal.SIGTERM)
        give_up = time.monotonic() + START_SECONDS
        while self._runtimes() and time.monotonic() < give_up:
            time.sleep(0.05)

    def _runtimes(self) -> list[int]:
        """The emulator's children: each of its threads may have started one."""
        threads = Path(f"/proc/{self._process.pid}/task").glob("*/children")
        return [int(child) for children in threads for child in children.read_text().split()]


@contextmanager
def emulated(tree: Tree, *, under: Sequence[str] = (), **environment: str) -> Iterator[Emulated]:
    """Run a stack until the block ends; `under` is the program, with its arguments, that runs its Python."""
    with TemporaryDirectory() as scratch:
        program = Path(scratch) / "emulator"
        program.write_bytes(_emulator().read_bytes())
        program.chmod(0o755)
        log = Path(scratch) / "log"
        port, api = free_port(), free_port()
        command: list[str | Path] = [
            program,
            "--log-level",
            "info",
            "--runtime-interface-emulator-address",
            f"127.0.0.1:{port}",
        ]
        command += ["--runtime-api-address", f"127.0.0.1:{api}", *under]
        command += [PYTHON, "-S", "-m", "awslambdaric", "app.handler"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, env=tree.environment(**environment), cwd=tree.task, stdout=output, stderr=output
            )
            try:
                _wait_for(port, process, log)
                yield Emulated(process, port, log)
            finally:
                process.terminate()
                process.wait(START_SECONDS)


@contextmanager
def stubbed_dynamodb(certificate: Path | None = None) -> Iterator[Mapping[str, str]]:
    """Run the stub of DynamoDB, over TLS with a certificate; gives the environment that leads a stack to it."""
    command: list[str | Path] = [PYTHON, "-S", ROOT / "tests" / "benchmarks" / "dynamo_stub.py"]
    command += [certificate] if certificate else []
    address = f"https://{HOST}" if certificate else "http://127.0.0.1"
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            yield {"AWS_ENDPOINT_URL_DYNAMODB": f"{address}:{server.stdout.readline().strip()}"}
        finally:
            server.terminate()


def init_report(log: str) -> float:
    """The milliseconds of the init phase that the emulator reports."""
    (found,) = re.findall(r"INIT REPORT\(durationMs: ([0-9.]+)\)", log)
    return float(found)


def _emulator() -> Path:
    machine = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    (found,) = PYTHON.parents[1].glob(f"lib/python3.*/site-packages/samcli/local/rapid/*{machine}")
    return found


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < give_up:
        connection = HTTPConnection("127.0.0.1", port, timeout=1)
        try:
            connection.connect()
        except OSError:
            time.sleep(0.02)
        else:
            return
        finally:
            connection.close()
    raise RuntimeError(f"the emulator did not start\n{log.read_text(errors='replace')}")
