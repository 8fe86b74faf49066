"""The adapters to other frameworks, in the environment that has these frameworks, against the local stack."""

import os
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.client.conftest import unpacked_wheel
from tests.e2e.serving import serving
from tools.build_client import ROOT

PYTHON: Final = ROOT / ".venv-frameworks" / "bin" / "python"
FOLDER: Final = Path(__file__).parent / "frameworks"


@pytest.mark.parametrize("file", sorted(path.name for path in FOLDER.glob("*_suite.py")))
def test_an_adapter_keeps_to_the_framework(file: str, tmp_path: Path) -> None:
    with serving(tmp_path, auth=False) as stack:
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PYTHONPATH": str(unpacked_wheel()),
            "STACK_URL": f"http://127.0.0.1:{stack.port}",
        }
        folder = str(FOLDER)
        options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", folder, "--confcutdir", folder]
        command = [str(PYTHON), "-m", "pytest", *options, file]
        done = subprocess.run(command, cwd=FOLDER, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-5_000:]
