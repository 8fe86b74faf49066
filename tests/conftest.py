"""What every test gets: no way to a real AWS account, and the same examples from hypothesis in every run of CI.

Tests whose programs cannot be had on this machine do not run; the end of the run names them.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings
from xdist.scheduler.loadscope import LoadScopeScheduling  # type: ignore[import-untyped]

# How long an example takes depends on what else the machine does: no deadline.
settings.register_profile("developer", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "developer")

ROOT: Final = Path(__file__).resolve().parents[1]
LACKING: Final = ROOT / ".cache" / "lacking.txt"
"""What `make test` found missing, written by tools/needs.py: a program, a colon, the reason."""

# Programs that this machine lacked are there (tools/needs.py).
os.environ["PATH"] = os.pathsep.join([str(ROOT / ".cache" / "bin"), os.environ.get("PATH", os.defpath)])

_DYNAMODB_LOCAL: Final = ("tests/integration", "tests/client/test_frameworks.py", "tests/e2e/test_local_kept.py")
_PAGES: Final = ("tests/e2e/test_page.py", "tests/e2e/test_web_chat.py")
NEEDED: Final = {
    "java": _DYNAMODB_LOCAL,
    "node": (  # npm fetches DynamoDB Local
        *_DYNAMODB_LOCAL,
        "tests/e2e/test_elizaos_client.py",
        "tests/e2e/test_elizaos_talk.py",
        "tests/e2e/test_local_subscribers.py",
        *_PAGES,
    ),
    "chromium": _PAGES,
    "python3.13": (
        "tests/e2e/test_build.py",
        "tests/e2e/test_deployed.py",
        "tests/e2e/test_sam_local.py",
    ),
}
"""The tests that start a program."""


def _not_run() -> Iterator[tuple[str, str]]:
    """Yield the tests that cannot run here, each with the reason."""
    lacking = LACKING.read_text("utf-8").splitlines() if LACKING.exists() else []
    for line in lacking:
        for tests in NEEDED[line.partition(":")[0]]:
            assert (ROOT / tests).exists(), tests
            yield tests, line


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what cannot run here."""
    not_run = [ROOT / tests for tests, _ in _not_run()]
    left_out = [item for item in items if any(tests in (item.path, *item.path.parents) for tests in not_run)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name what was measured, and what was asked for and could not run."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "measured":
                terminalreporter.write_line(str(value))
    asked = [Path(config.invocation_params.dir, argument.partition("::")[0]).resolve() for argument in config.args]
    for tests, reason in _not_run():
        if any(ROOT / tests in (one, *one.parents) or one in (ROOT / tests).parents for one in asked):
            terminalreporter.write_line(f"NOT RUN {tests}: there is no {reason}", yellow=True)


class _Shared(LoadScopeScheduling):  # type: ignore[misc] # it comes without types
    """Hands out files, whose tests share fixtures that are dear, and most end-to-end tests as one: they share ports."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "tests/e2e" if file.startswith("tests/e2e/") and not file.endswith("test_fuzz.py") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """Hand tests out by what they share; the marks of `--dist loadgroup` do not reach the workers of pytest 9.2."""
    config.option.loadscopereorder = False  # the files with the most tests are the quickest: they fill the end up
    return _Shared(config, log)


@pytest.fixture(autouse=True, scope="session")
def _no_options_of_make() -> None:
    """What `make test` was called with is not for the `make` that a test starts."""
    for name in ("ARGS", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS"):
        os.environ.pop(name, None)


@pytest.fixture(autouse=True, scope="session")
def _no_aws_account() -> None:
    """Take away the developer's own profile and keys; what stands in for AWS accepts these."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
