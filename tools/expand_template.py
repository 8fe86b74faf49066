"""Expands a SAM template as CloudFormation would, offline, and prints the result as JSON.

For linters: a SAM template does not show the roles, routes and permissions that it makes.
"""

import argparse
import json
import sys
from pathlib import Path

from samtranslator.public.exceptions import InvalidDocumentException

import template_reader


def main() -> str | None:
    """Print the expanded template, or return what is wrong with it."""
    parser = argparse.ArgumentParser(prog="python -m tools.expand_template", description=__doc__)
    parser.add_argument("template", nargs="?", type=Path, default=template_reader.PATH)
    path: Path = parser.parse_args().template
    try:
        expanded = template_reader.expanded(path)
    except InvalidDocumentException as error:
        return "\n".join([f"{path}: {error.message}", *(cause.message for cause in error.causes)])
    json.dump(expanded, sys.stdout, indent=2)
    return None


if __name__ == "__main__":
    sys.exit(main())
