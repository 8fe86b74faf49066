# noqa: INP001 - a build step, not a package
"""Builds the dependency layer: pinned wheels, without what the functions never read, compiled, and a small CA bundle.

Runs under `sam build` with the runtime's Python and nothing but the standard library and pip.
"""

import argparse
import gzip
import hashlib
import json
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from compileall import compile_dir
from pathlib import Path
from py_compile import PycInvalidationMode
from tempfile import TemporaryDirectory
from typing import Any

RUNTIME = (3, 13)
# Lambda's names of the processors, and those of the wheels. Both fit into one layer: what is compiled has the
# processor in its file name.
MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}
# What glibc 2.34 of the runtime's Amazon Linux 2023 can load, newest first.
MANYLINUX = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_17", "manylinux2014")

# What the functions call, by service. botocore describes four hundred services more, and twenty times as many calls of
# these: 21 million instructions of a cold start. Tests hold the list to what the code calls.
OPERATIONS = {
    "dynamodb": (
        "BatchExecuteStatement",
        "BatchGetItem",
        "BatchWriteItem",
        "DeleteItem",
        "GetItem",
        "PutItem",
        "Query",
        "TransactWriteItems",
        "UpdateItem",
    ),
    "lambda": ("Invoke",),
    "sns": ("PublishBatch",),
    "sqs": ("SendMessage",),
}

# What no function reads, as patterns below the folder of the packages, each with what it is.
UNUSED = {
    "bin": "programs for a terminal",
    "**/tests": "tests",
    "**/*.pyi": "type stubs",
    "**/py.typed": "marks type hints for type checkers",
    "aws_lambda_powertools/event_handler": "Powertools' routing: the functions have their own",
    "aws_lambda_powertools/utilities/[!_jt]*": "Powertools' other tools, but for what its logger needs",
    "pydantic/v1": "the version before, for code that was written for it",
    "boto3/data": "boto3's resources: the code uses clients",
    "boto3/examples": "documentation",
    "urllib3/contrib/emscripten": "HTTP in a browser",
    "*.dist-info/RECORD": "pip's notes; METADATA and the licences stay",
    "*.dist-info/INSTALLER": "pip's notes",
    "*.dist-info/REQUESTED": "pip's notes",
    "*.dist-info/WHEEL": "pip's notes",
    "*.dist-info/top_level.txt": "pip's notes",
    "*.dist-info/zip-safe": "pip's notes",
    "*.dist-info/sboms": "parts lists of compiled code",
}

# The roots that certificates of AWS endpoints go back to, by SHA-256 of the certificate, as Amazon Trust Services
# publishes them.
AMAZON_ROOTS = {
    "8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e": "Amazon Root CA 1",
    "1ba5b2aa8c65401a82960118f80bec4f62304d83cec4713a19c39c011ea46db4": "Amazon Root CA 2",
    "18ce6cfe7bf14e60b2e347b8dfe868cb31d02ebb3ada271569f50343b46db3a4": "Amazon Root CA 3",
    "e35d28419ed02025cfa69038cd623962458da5c695fbdea3c22b0bfb25897092": "Amazon Root CA 4",
    "568d6905a2c88708a4b3025190edcfedb1974a606a13c6e5290fcb2ae63edab5": "Starfield Services Root CA - G2",
}

Json = Any


def main() -> None:
    """Build into the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("artifacts", type=Path, help="where the layer's content goes")
    parser.add_argument("--lock", type=Path, required=True, help="the requirements, pinned by hash")
    parser.add_argument("--architecture", choices=[*MACHINES, "both"], default="both")
    options = parser.parse_args()
    if sys.version_info[:2] != RUNTIME:
        sys.exit(f"the layer is compiled for Python {RUNTIME[0]}.{RUNTIME[1]}, this is {sys.version.split()[0]}")

    packages = options.artifacts / "python"
    machines = MACHINES.values() if options.architecture == "both" else [MACHINES[options.architecture]]
    for machine in machines:
        install(options.lock, machine, packages)
    (options.artifacts / "amazon-roots.pem").write_text(amazon_roots(packages / "botocore" / "cacert.pem"))
    trim_packages(packages)
    trim_botocore(packages / "botocore" / "data")
    compile_packages(packages)


def install(lock: Path, machine: str, packages: Path) -> None:
    """Put the locked wheels for `machine` into `packages`, beside what is there already."""
    with TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
        command += ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--requirement", str(lock)]
        command += ["--target", scratch, "--implementation", "cp", "--python-version", f"{RUNTIME[0]}.{RUNTIME[1]}"]
        for level in MANYLINUX:
            command += ["--platform", f"{level}_{machine}"]
        if subprocess.run(command, check=False).returncode:  # noqa: S603 - our own pip, with arguments from above
            sys.exit("pip could not install the locked wheels")
        shutil.copytree(scratch, packages, dirs_exist_ok=True)


def amazon_roots(bundle: Path) -> str:
    """Return the certificates of `AMAZON_ROOTS` out of botocore's copy of certifi's bundle (its wheel is locked)."""
    pattern = r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n"
    found = {
        hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest(): pem
        for pem in re.findall(pattern, bundle.read_text(encoding="utf-8"), re.DOTALL)
    }
    missing = [name for fingerprint, name in AMAZON_ROOTS.items() if fingerprint not in found]
    if missing:
        sys.exit(f"{bundle.name} lacks {', '.join(missing)}: see Amazon Trust Services for what replaced it")
    return "".join(f"# {name}\n{found[fingerprint]}" for fingerprint, name in AMAZON_ROOTS.items())


def trim_packages(packages: Path) -> None:
    """Remove what `UNUSED` lists."""
    for pattern in UNUSED:
        for path in sorted(packages.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def trim_botocore(data: Path) -> None:
    """Leave the calls in use, without their documentation; parsing the descriptions is most of a client's start.

    Of `endpoints.json` the partitions stay, with their rules and regions, and the services' own entries.
    """
    for folder in data.iterdir():
        if folder.is_dir() and folder.name not in OPERATIONS:
            shutil.rmtree(folder)
    for service, operations in OPERATIONS.items():
        *outdated, newest = sorted((data / service).iterdir())
        for folder in outdated:
            shutil.rmtree(folder)
        for path in newest.iterdir():
            if path.name.startswith(("service-2.", "endpoint-rule-set-1.")):
                described = json.loads(gzip.decompress(path.read_bytes()))
                if path.name.startswith("service-2."):
                    described = with_operations(described, operations)
                write_json(path.with_suffix(""), without_documentation(described))
            path.unlink()
    endpoints = data / "endpoints.json"
    described = json.loads(endpoints.read_text(encoding="utf-8"))
    for partition in described["partitions"]:
        partition["services"] = {name: entry for name, entry in partition["services"].items() if name in OPERATIONS}
    write_json(endpoints, described)


def with_operations(described: Json, names: Sequence[str]) -> Json:
    """Return a service's description with these operations, and with the shapes that they are made of."""
    unknown = [name for name in names if name not in described["operations"]]
    if unknown:
        sys.exit(f"botocore knows no {', '.join(unknown)}")
    operations = {name: described["operations"][name] for name in names}
    shapes: dict[str, Json] = {}
    unread = set(shapes_named_in(operations))
    while unread:
        name = unread.pop()
        shapes[name] = described["shapes"][name]
        unread.update(set(shapes_named_in(shapes[name])) - shapes.keys())
    return {**described, "operations": operations, "shapes": {name: shapes[name] for name in sorted(shapes)}}


def shapes_named_in(value: Json) -> Iterator[str]:
    """Find what a description refers to; a member that happens to be called "shape" refers to nothing itself."""
    if isinstance(value, dict):
        if isinstance(value.get("shape"), str):
            yield value["shape"]
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            yield from shapes_named_in(entry)


def without_documentation(value: Json) -> Json:
    """Return `value` without its texts for readers. A member that happens to be called so is no text, and stays."""
    if isinstance(value, dict):
        return {
            key: without_documentation(entry)
            for key, entry in value.items()
            if not (key == "documentation" and isinstance(entry, str))
        }
    if isinstance(value, list):
        return [without_documentation(entry) for entry in value]
    return value


def write_json(path: Path, value: Json) -> None:
    """Write compactly."""
    path.write_text(json.dumps(value, separators=(",", ":")), encoding="utf-8")


def compile_packages(packages: Path) -> None:
    """Compile so that the runtime takes the result unseen: deployment archives date every file 1980."""
    if not compile_dir(
        packages,
        maxlevels=20,
        quiet=1,
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
        stripdir=packages,
        prependdir="/opt/python",
    ):
        sys.exit("some module did not compile")


if __name__ == "__main__":
    main()
