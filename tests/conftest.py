"""What every test gets: no way to a real AWS account, and the same examples from hypothesis in every run of CI."""

import os

import pytest
from hypothesis import settings
from xdist.scheduler.loadscope import LoadScopeScheduling  # type: ignore[import-untyped]

# How long an example takes depends on what else the machine does: no deadline.
settings.register_profile("developer", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "developer")


class _Shared(LoadScopeScheduling):  # type: ignore[misc] # it comes without types
    """Hands out files, whose tests share fixtures that are dear, and the end-to-end tests as one: they share ports."""

    def _split_scope(self, nodeid: str) -> str:
        return "tests/e2e" if nodeid.startswith("tests/e2e/") else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """Hand tests out by what they share; the marks of `--dist loadgroup` do not reach the workers of pytest 9.2."""
    return _Shared(config, log)


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
