"""The folder that outlives a stack: one stack at a time, and a clock that can be read or is refused in a sentence."""

import re
from pathlib import Path

import pytest

from local.clock import LATEST_MS
from local.kept import KeptDataError, KeptFolder
from local.options import Options
from local.stack import LocalStack


def test_the_clock_is_as_far_ahead_as_it_was(tmp_path: Path) -> None:
    folder = KeptFolder(tmp_path)
    assert folder.offset_ms() == 0
    folder.keep_offset(90_000)
    assert KeptFolder(tmp_path).offset_ms() == 90_000


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b"\xff\xfe",
        b'{"offsetMs": "1"}',
        b'{"offsetMs": 1.5}',
        b'{"offsetMs": true}',
        b'{"offsetMs": -1}',
        b'{"offsetMs": %d}' % LATEST_MS,
    ],
)
def test_a_damaged_clock_is_refused_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "clock.json").write_bytes(content)
    with pytest.raises(KeptDataError, match=r"clock\.json is damaged.*make clean"):
        KeptFolder(tmp_path).offset_ms()


def test_two_stacks_cannot_use_one_folder(tmp_path: Path) -> None:
    first, second = KeptFolder(tmp_path), KeptFolder(tmp_path)
    with first.locked(), pytest.raises(KeptDataError, match="Another local stack uses"), second.locked():
        pass
    with KeptFolder(tmp_path).locked():
        assert (tmp_path / "stack.lock").exists()


def test_a_stack_on_a_folder_in_use_does_not_start(tmp_path: Path) -> None:
    stack = LocalStack(Options(store="dynamodb-local"), log_file=tmp_path / "log", data_dir=tmp_path)
    folder = KeptFolder(tmp_path)
    with folder.locked(), pytest.raises(KeptDataError, match="Another local stack uses"), stack.running():
        pass


def test_the_access_key_is_drawn_once_and_read_by_its_owner_alone(tmp_path: Path) -> None:
    key = KeptFolder(tmp_path).access_key()
    assert re.fullmatch("[0-9a-f]{32}", key)
    assert KeptFolder(tmp_path).access_key() == key
    assert (tmp_path / "access-key").stat().st_mode & 0o077 == 0
    (tmp_path / "access-key").unlink()
    assert KeptFolder(tmp_path).access_key() != key
