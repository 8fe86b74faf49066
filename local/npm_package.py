"""Download an npm package that is pinned by its hash, without the packages that it depends on."""

import argparse
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

SECONDS: Final = 600


class NpmError(Exception):
    """A package cannot be had; the message is the reason, in one line."""


def fetch(package: str, sha256: str, folder: Path) -> None:
    """Make `folder` hold the files of `package` (`name@version`), whose archive has this SHA-256.

    Raises:
        NpmError: npm is missing or fails, or the archive is another one.

    """
    npm = shutil.which("npm")
    if npm is None:
        raise NpmError(f"npm is missing: it downloads {package}. Install Node.js 20 or later")
    folder = folder.resolve()  # npm runs in another folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="npm-") as name:
        scratch = Path(name)
        command = [npm, "pack", package, "--ignore-scripts", "--loglevel=error", "--pack-destination", str(scratch)]
        try:
            subprocess.run(command, cwd=scratch, check=True, capture_output=True, text=True, timeout=SECONDS)
        except subprocess.CalledProcessError as error:
            said = (error.stderr.strip() or error.stdout.strip() or f"exit code {error.returncode}").splitlines()
            raise NpmError(f"npm pack {package} failed: {said[-1]}") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NpmError(f"npm pack {package} failed: {error}") from error
        [archive] = scratch.glob("*.tgz")
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        if found != sha256:
            raise NpmError(f"the archive of {package} has SHA-256 {found}, not {sha256}")
        unpack(archive, scratch)
        shutil.rmtree(folder, ignore_errors=True)
        (scratch / "package").rename(folder)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar archive into a folder, and nothing outside it. Python 3.11.3 and earlier cannot check the latter."""
    with tarfile.open(archive) as opened:
        opened.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
        opened.extractall(folder)  # noqa: S202 - an archive whose hash was checked


def main() -> int:
    """Download one package into a folder."""
    parser = argparse.ArgumentParser(prog="python -m local.npm_package", description="Download one npm package.")
    parser.add_argument("package", help="name@version")
    parser.add_argument("sha256", help="of its archive")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    try:
        fetch(options.package, options.sha256, options.folder)
    except NpmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
