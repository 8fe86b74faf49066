"""The local stack under more sessions than a developer makes: does it stay responsive? Nothing is asserted."""

import http.client
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, Final

from tests.benchmarks.section import Section
from tests.e2e.local_process import started
from tests.unit.world import AGENT, BASE, USER

SESSIONS: Final = 1_000
HEARTBEATS: Final = 10_000
ALONE: Final = 2_000
CLIENTS: Final = 16
READS: Final = 300


class Caller:
    """One client with a connection that it keeps."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)

    def call(self, method: str, path: str, body: object = None) -> Any:
        content = None if body is None else json.dumps(body)
        self._connection.request(method, path, content, {"content-type": "application/json"})
        answer = self._connection.getresponse()
        said = json.loads(answer.read())
        assert answer.status < 300, (answer.status, said)
        return said

    def close(self) -> None:
        self._connection.close()


def run() -> Section:
    begun = time.monotonic()
    with started() as process:
        port = int(process.url.rpartition(":")[2])
        start_seconds = time.monotonic() - begun
        one = Caller(port)
        new = {"agentId": AGENT, "userId": USER}
        ids: list[str] = []
        creates = at_once(port, SESSIONS, lambda caller, _: ids.append(caller.call("POST", BASE, new)["sessionId"]))
        beats = at_once(
            port, HEARTBEATS, lambda caller, turn: caller.call("POST", f"{BASE}/{ids[turn % SESSIONS]}/heartbeat")
        )
        alone = timed(lambda: [one.call("POST", f"{BASE}/{ids[turn % SESSIONS]}/heartbeat") for turn in range(ALONE)])
        renewals = sum(one.call("GET", f"{BASE}/{session_id}")["renewalCount"] for session_id in ids)
        assert renewals == HEARTBEATS + ALONE, f"{HEARTBEATS + ALONE - renewals} heartbeats were lost"
        reads = sorted(timed(lambda turn=turn: one.call("GET", f"{BASE}/{ids[turn]}")) for turn in range(READS))  # type: ignore[misc]
        lists = [timed(lambda: one.call("GET", f"{BASE}?limit=100")) for _ in range(10)]
        hour = timed(lambda: one.call("POST", "/_local/clock", {"advanceMinutes": 60}))
        day = timed(lambda: one.call("POST", "/_local/clock", {"advanceMinutes": 24 * 60}))
        one.close()
    return Section(
        title="The local stack",
        intro=f"`python -m local` with its store in memory, through HTTP: {CLIENTS} clients make {SESSIONS:,} "
        f"sessions and send {HEARTBEATS:,} heartbeats, none of which is lost; then one client is alone. The times "
        "depend on the machine and on what else it does.",
        columns=("what", "figure"),
        rows=[
            ("from start to ready", f"{start_seconds:.1f} s"),
            ("creates", f"{SESSIONS / creates:,.0f} a second"),
            (f"heartbeats from {CLIENTS} clients", f"{HEARTBEATS / beats:,.0f} a second"),
            ("heartbeats from one client", f"{ALONE / alone:,.0f} a second"),
            ("get, median", f"{1000 * median(reads):.1f} ms"),
            ("get, slowest of a hundred", f"{1000 * reads[-READS // 100]:.1f} ms"),
            ("list of 100, median", f"{1000 * median(lists):.0f} ms"),
            (f"an hour's move, {SESSIONS:,} warned and expired", f"{hour:.1f} s"),
            ("a day's move, nothing due", f"{day:.1f} s"),
        ],
    )


def timed(act: Callable[[], object]) -> float:
    """How many seconds it takes."""
    begun = time.monotonic()
    act()
    return time.monotonic() - begun


def at_once(port: int, times: int, act: Callable[[Caller, int], object]) -> float:
    """Do it so often by several clients; how many seconds all of it takes."""

    def work(turns: Sequence[int]) -> None:
        caller = Caller(port)
        for turn in turns:
            act(caller, turn)
        caller.close()

    threads = [threading.Thread(target=work, args=(range(number, times, CLIENTS),)) for number in range(CLIENTS)]

    def all_of_them() -> None:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return timed(all_of_them)


def main() -> None:
    section = run()
    sys.stdout.write(f"{section.intro}\n")
    for what, figure in section.rows:
        sys.stdout.write(f"  {what:<45} {figure}\n")


if __name__ == "__main__":
    main()
