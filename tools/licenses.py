"""Writes docs/licenses.md: the licence of every package that ships in the dependency layer, `python -m tools.licenses`.

Reads the pinned list and what the installed packages say of themselves. A licence that nobody has looked at stops it.
"""

import re
import sys
from importlib.metadata import metadata, requires, version
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
PINNED: Final = ROOT / "layers" / "dependencies" / "requirements.txt"
PAGE: Final = ROOT / "docs" / "licenses.md"

ALLOWED: Final = frozenset({"Apache-2.0", "BSD-3-Clause", "MIT", "MIT-0", "PSF-2.0"})
"""SPDX names of licences that ask for no more than to be named in what is passed on."""

SPDX: Final = {"Apache License 2.0": "Apache-2.0"}
"""What packages write that give no SPDX name."""

READ: Final = {
    "aws-lambda-powertools": "MIT-0",  # MIT, says its metadata
    "python-dateutil": "BSD-3-Clause",  # for all of it; what was added since 2017 may be taken under Apache-2.0 instead
}
"""Where the licence file is more exact than the package's metadata."""

HEAD: Final = """\
# Licences of what ships

The code of this project is under the Apache License 2.0 (`LICENSE`). The dependency layer also holds the packages
below, and no others. `layers/dependencies/requirements.lock` pins each version by its hash. The licence files stay in
the layer, in each package's `*.dist-info` folder. All these licences allow everyone to use, change and pass on the
code. Some require that the notice stays with it.

`make licenses` writes this page from the pinned list. A test fails if the page is out of date, or if a package has a
licence that nobody has checked.

| package | version | licence | why it is there |
|---|---|---|---|
"""

TAIL: Final = """
The layer also holds certificates from Mozilla's list (MPL-2.0): `botocore/cacert.pem`, and `amazon-roots.pem`, which is
an extract of it.

Packages for tests, builds and the local stack are not deployed. Some tests and `make run STORE=dynamodb-local` download
DynamoDB Local. It is under a licence of Amazon's own, which is part of the download.
"""

_REQUIREMENT: Final = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)$", re.MULTILINE)
_NAME: Final = re.compile(r"^[A-Za-z0-9._-]+")


class UnknownLicenceError(Exception):
    """A package has a licence that was not looked at, or is installed in another version than the one pinned."""


def page() -> str:
    """Return the page as it must be now.

    Raises:
        UnknownLicenceError: a package's licence is none of `ALLOWED`, or its version is not the pinned one.

    """
    pinned = dict(_REQUIREMENT.findall(PINNED.read_text(encoding="utf-8")))
    rows = []
    for name in sorted(pinned):
        if version(name) != pinned[name]:
            raise UnknownLicenceError(f"{name} is installed as {version(name)}, pinned as {pinned[name]}")
        rows.append(f"| {name} | {pinned[name]} | {licence(name)} | {_why(name, pinned)} |\n")
    return HEAD + "".join(rows) + TAIL


def licence(name: str) -> str:
    """Return the SPDX expression of an installed package's licence."""
    facts = metadata(name)
    said = next((facts[field] for field in ("License-Expression", "License") if field in facts), "nothing")
    expression = READ.get(name) or SPDX.get(said, said)
    if expression not in ALLOWED:
        raise UnknownLicenceError(f"{name} is under {said!r}: read it, then add it to tools/licenses.py or do without")
    return expression


def _why(name: str, pinned: dict[str, str]) -> str:
    """Name the packages that need this one; the project itself asks for those that none needs."""
    needed_by = [
        other
        for other in sorted(pinned)
        if any(
            "extra ==" not in need and _canonical(_NAME.findall(need)[0]) == _canonical(name)
            for need in requires(other) or ()
        )
    ]
    return f"needed by {', '.join(needed_by)}" if needed_by else "asked for by the project"


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    try:
        PAGE.write_text(page(), encoding="utf-8")
    except UnknownLicenceError as error:
        sys.exit(str(error))
