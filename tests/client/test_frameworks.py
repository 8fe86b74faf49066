"""The adapters to other frameworks, in the environment that has these frameworks, against the local stack."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from tests.client.conftest import unpacked_wheel
from tests.e2e.serving import serving
from tools.build_client import ROOT

PYTHON: Final = ROOT / ".venv-frameworks" / "bin" / "python"
FOLDER: Final = Path(__file__).parent / "frameworks"


PYTEST: Final = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
TURN: Final = """
import asyncio, sys
import adk_suite, openai_agents_suite
for suite in (openai_agents_suite, adk_suite):
    print(asyncio.run(suite.talk("kept", sys.argv[1])))
"""
"""A turn of each framework's runner, in the session of one name."""
SDK_TESTS: Final = ROOT / ".cache" / "openai-agents"
FILES: Final = [
    *(f"tests/memory/test_session{end}.py" for end in ("", "_limit", "_context_wrapper", "_persistence_sanitize")),
    "tests/test_hitl_session_scenario.py",
]
ABOUT_SQLITE: Final = {
    f"tests/memory/test_session.py::test_sqlite_session_{name}"
    for name in (
        "close_closes_worker_thread_connections",
        "reaps_connections_from_exited_worker_threads",
        "closes_retired_connections_before_the_next_allocation",
        "keeps_connections_of_live_worker_threads",
        "closed_rejects_empty_add_items",
        "pop_item_skips_corrupt_most_recent",
        "pop_item_returns_none_after_dropping_only_corrupt_rows",
        "get_items_limit_skips_corrupt_newest_rows",
        "get_items_session_settings_limit_skips_corrupt_rows",
        "file_lock_is_shared_across_instances",
        "failed_add_items_releases_write_lock",
        "failed_clear_session_rolls_back",
        "failed_pop_item_releases_write_lock",
        "rollback_failure_evicts_connection",
        "close_retries_quarantined_connection",
        "post_commit_cancellation_propagates_after_known_outcome[add]",
        "post_commit_cancellation_propagates_after_known_outcome[pop]",
        "post_commit_cancellation_propagates_after_known_outcome[clear]",
    )
}
"""Tests of SQLite's connections, locks, rows and closed files: an AgentSession has none of these."""


def run(tmp_path: Path, folder: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run Python with the adapters in `folder`, beside a local stack of its own with these options."""
    with serving(tmp_path, auth=False, **options) as stack:
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PYTHONPATH": os.pathsep.join([str(unpacked_wheel()), str(FOLDER), str(folder)]),
            "STACK_URL": f"http://127.0.0.1:{stack.port}",
        }
        command = [str(PYTHON), *arguments]
        return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("file", sorted(path.name for path in FOLDER.glob("*_suite.py")))
def test_an_adapter_keeps_to_the_framework(file: str, tmp_path: Path) -> None:
    folder = str(FOLDER)
    done = run(tmp_path, FOLDER, *PYTEST, "-c", os.devnull, "--rootdir", folder, "--confcutdir", folder, file)
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-5_000:]


def test_the_sdks_own_tests_of_sessions_pass_but_for_those_about_sqlite(tmp_path: Path) -> None:
    done = run(tmp_path, SDK_TESTS, *PYTEST, "-p", "in_place_of_sqlite", "--tb=short", *FILES)
    failed = set(re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE))
    assert failed == ABOUT_SQLITE, done.stdout[-10_000:] + done.stderr[-5_000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed
    assert int(passed[1]) >= 97, passed


def test_conversations_of_both_frameworks_outlive_a_restart_of_the_stack(tmp_path: Path) -> None:
    turns = [run(tmp_path, FOLDER, "-c", TURN, text, store="dynamodb-local") for text in ("one", "two")]
    assert [turn.stdout.split("\n")[:2] for turn in turns] == [["1", "heard 1"], ["3", "heard 3"]], turns
