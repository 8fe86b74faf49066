"""The stacks that are compared, each laid out as Lambda lays it out: a function, a layer, and every file dated 1980."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.template_reader import Deployment

ROOT: Final = Path(__file__).resolve().parents[2]
BUILD: Final = ROOT / ".aws-sam" / "build"
PEERS: Final = ROOT / "tests" / "benchmarks" / "peers"
CACHE: Final = ROOT / ".cache" / "bench"
PYTHON: Final = ROOT / ".venv-sam" / "bin" / "python"
"""The deployed runtime's version. Always run with -S, which leaves nothing on the path but what a stack brings."""
LAMBDA_RUNTIME: Final = ROOT / ".cache" / "lambda-runtime"
COUNTED: Final = ("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")
"""Runs a program and counts its instructions: the same figure as callgrind's, in half the time."""
YEAR_1980: Final = 315_532_800
"""What deployment archives date every file, so that ordinary `.pyc` files count as outdated."""

OURS: Final = "agent-sessions"
AUTHORIZER: Final = "agent-sessions: authorizer"
USUAL: Final = "usual style"
USUAL_SDK: Final = "usual style, the runtime's SDK precompiled"
USUAL_COMPILED: Final = "usual style, precompiled"
FASTAPI: Final = "FastAPI + Mangum, precompiled"
FLOOR: Final = "floor: msgspec, signed by hand"
EMPTY: Final = "empty handler"
PACKAGES: Final = "packages imported, nothing done"

_NOTHING_DONE: Final = 'def handler(event, context):\n    return {"statusCode": 201}\n'
_IMPORTS: Final = """import botocore.session
from aws_lambda_powertools import Logger, Metrics
from pydantic import BaseModel

"""
"""What no function on these three packages can do without."""

_SDK: Final = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six.py", "urllib3")
"""What Lambda's runtime brings along, with bytecode that counts."""
_ALL: Final = (".",)

# stack -> (folder of the peer, requirements, what of its packages is compiled; its own code is where all of them are)
_PEERS: Final[Mapping[str, tuple[str, str, tuple[str, ...]]]] = {
    USUAL: ("usual", "bench-usual", ()),
    USUAL_SDK: ("usual", "bench-usual", _SDK),
    USUAL_COMPILED: ("usual", "bench-usual", _ALL),
    FASTAPI: ("fastapi_mangum", "bench-fastapi", _ALL),
    FLOOR: ("floor", "bench-floor", _ALL),
}


@dataclass(frozen=True)
class Tree:
    """One stack on disk."""

    name: str
    task: Path
    opt: Path
    functions: tuple[str, ...] = ("SessionMessagesFunction", "SessionApiFunction")
    """Whose variables are set: those of the last one win."""

    def environment(self, **more: str) -> dict[str, str]:
        """What Lambda would set, and the template for our functions; the peers read the API's names."""
        path = [self.task, self.opt / "python", LAMBDA_RUNTIME]
        deployment = Deployment(AmazonCaBundle="off")
        settings = {name: value for each in self.functions for name, value in deployment.environment(each).items()}
        return (
            settings
            | {
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join(map(str, path)),
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONHASHSEED": "0",  # the same order of sets in every run: counts repeat
                "AWS_REGION": "eu-west-1",
                "AWS_DEFAULT_REGION": "eu-west-1",
                "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE000000000",
                "AWS_SECRET_ACCESS_KEY": "example",
                "AWS_SESSION_TOKEN": "example" * 40,
                "AWS_LAMBDA_FUNCTION_NAME": "bench",
                "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
                "AWS_LAMBDA_FUNCTION_TIMEOUT": "600",
                "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
                "LAMBDA_TASK_ROOT": str(self.task),
            }
            | more
        )


def lay_out(folder: Path) -> Mapping[str, Tree]:
    """Make every stack below `folder`; ours is what `make build` built."""
    trees = {
        EMPTY: _idle(EMPTY, folder / "empty", _NOTHING_DONE),
        PACKAGES: _idle(PACKAGES, folder / "packages", _IMPORTS + _NOTHING_DONE),
        OURS: _ours(OURS, folder / "ours", "SessionApiFunction"),
        AUTHORIZER: _ours(AUTHORIZER, folder / "authorizer", "ApiKeyAuthorizerFunction"),
    }
    # The function of the messages beside that of the sessions, as a module that only the warm requests import.
    shutil.copy(BUILD / "SessionMessagesFunction" / "app.py", trees[OURS].task / "messages_app.py")
    _compile(trees[OURS].task / "messages_app.py")
    for number, (name, (peer, requirements, compiled)) in enumerate(_PEERS.items()):
        trees[name] = _peer(name, folder / f"{peer}-{number}", peer, requirements, compiled)
    for path in folder.rglob("*"):
        os.utime(path, (YEAR_1980, YEAR_1980))
    return trees


def _idle(name: str, folder: Path, source: str) -> Tree:
    """A function that does nothing, beside our dependency layer."""
    tree = Tree(name, folder / "task", folder / "opt")
    tree.task.mkdir(parents=True)
    shutil.copytree(BUILD / "DependenciesLayer", tree.opt)
    (tree.task / "app.py").write_text(source)
    _compile(tree.task)
    return tree


def _ours(name: str, folder: Path, function: str) -> Tree:
    tree = Tree(name, folder / "task", folder / "opt", (*Tree.functions, function))
    shutil.copytree(BUILD / function, tree.task)
    for layer in ("DomainLayer", "DependenciesLayer"):
        shutil.copytree(BUILD / layer, tree.opt, dirs_exist_ok=True)
    return tree


def _peer(name: str, folder: Path, peer: str, requirements: str, compiled: tuple[str, ...]) -> Tree:
    tree = Tree(name, folder / "task", folder / "opt")
    tree.task.mkdir(parents=True)
    for source in (PEERS / peer / "app.py", *(PEERS / "shared").glob("*.py")):
        shutil.copy(source, tree.task)
    shutil.copytree(_packages(requirements), tree.opt / "python")
    if compiled == _ALL:
        _compile(tree.task)
    for package in compiled:
        _compile(tree.opt / "python" / package)
    return tree


def _packages(requirements: str) -> Path:
    """The locked packages of a peer, installed once per state of the lock; not compiled, as `sam build` leaves them."""
    lock = ROOT / "requirements" / f"{requirements}.lock"
    folder = CACHE / f"{requirements}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if not folder.exists():
        unfinished = folder.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        command: list[str | Path] = [
            PYTHON,
            "-m",
            "pip",
            "install",
            "-qq",
            "--disable-pip-version-check",
            "--require-hashes",
            "--no-deps",
        ]
        subprocess.run([*command, "--no-compile", "--target", unfinished, "-r", lock], check=True)
        unfinished.rename(folder)
    return folder


def _compile(folder: Path) -> None:
    command: list[str | Path] = [
        PYTHON,
        "-S",
        "-m",
        "compileall",
        "-q",
        "--invalidation-mode",
        "unchecked-hash",
        folder,
    ]
    subprocess.run(command, check=True)
