"""Sixteen threads patch different keys of one session's metadata on DynamoDB Local: none loses another's."""

from concurrent.futures import ThreadPoolExecutor

from agent_sessions.clock import SystemClock

from tests.engines.fixtures import Table
from tests.integration.deployed import Deployed

THREADS = 16
EACH = 4


def test_patches_that_race_never_lose_each_others_keys(engine: Table) -> None:
    deployed = Deployed(engine, clock=SystemClock())
    session_id = deployed.create(metadata={"kept": 1}).json["sessionId"]

    def patch_keys(thread: int) -> int:
        repeats = 0
        for number in range(EACH):
            while (answer := deployed.patch_metadata(session_id, {f"{thread}.{number}": [thread]})).status == 503:
                repeats += 1
            assert answer.status == 200, answer.text
        return repeats

    with ThreadPoolExecutor(THREADS) as pool:
        repeats = sum(pool.map(patch_keys, range(THREADS)))
    expected = {f"{thread}.{number}": [thread] for thread in range(THREADS) for number in range(EACH)}
    session = deployed.get(session_id).json
    assert session["metadata"] == {"kept": 1} | expected
    assert (session["lease"], session["renewalCount"]) == (1, 0)
    print(f"{THREADS * EACH} patches by {THREADS} threads: {repeats} repeated after a 503")  # noqa: T201 - for who measures
