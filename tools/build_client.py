"""`make client`: build the wheel and the sdist of clients/python, without leaving anything in its folder."""

import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from setuptools import build_meta

ROOT: Final = Path(__file__).resolve().parent.parent
CLIENT: Final = ROOT / "clients" / "python"


def sources() -> list[Path]:
    """The files that the wheel is made of."""
    top = [CLIENT / name for name in ("pyproject.toml", "README.md", "LICENSE")]
    return top + sorted(path for path in (CLIENT / "src").rglob("*") if path.suffix in {".py", ".typed"})


def digest() -> str:
    """A name for the present content of the sources."""
    content = hashlib.sha256()
    for path in sources():
        content.update(f"{path.relative_to(CLIENT)}\0".encode() + path.read_bytes() + b"\0")
    return content.hexdigest()[:16]


def build(into: Path) -> tuple[Path, ...]:
    """Build the wheel and the sdist; return where they are.

    setuptools works in the current directory, so this is for one thread.
    """
    into.mkdir(parents=True, exist_ok=True)
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        for path in sources():
            copy = Path(folder) / path.relative_to(CLIENT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
        os.chdir(folder)
        try:
            return into / build_meta.build_wheel(str(into)), into / build_meta.build_sdist(str(into))
        finally:
            os.chdir(before)


def main() -> int:
    """Build both into the folder that is named, or into dist/."""
    into = Path(sys.argv[1] if len(sys.argv) > 1 else "dist").resolve()
    for path in build(into):
        print(f"{path}  {path.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
