"""The tests of the Python client run against its built wheel, unpacked under .cache and first on the path."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tools.build_client import ROOT, digest

FOLDER: Final = ROOT / ".cache" / "client"


def unpacked_wheel() -> Path:
    """Return the folder of the wheel of the present sources, built by the process that comes first."""
    ready = FOLDER / digest()
    if not ready.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            build = [sys.executable, "-m", "tools.build_client", folder]
            subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
            [wheel] = Path(folder).glob("*.whl")
            tree = Path(folder) / "tree"
            subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(tree)], check=True)
            wheel.rename(tree / wheel.name)
            try:
                tree.rename(ready)
            except OSError:
                assert ready.exists()  # another process was first
    return ready


sys.path.insert(0, str(unpacked_wheel()))

from tests.client.service import Service  # noqa: E402 - it imports the client, which is on the path by now


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The local stack without its HTTP server."""
    with Service.running(tmp_path_factory.mktemp("service")) as running:
        yield running
