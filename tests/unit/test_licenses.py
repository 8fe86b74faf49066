"""What ships, and under which licence: docs/licenses.md is up to date, and no licence in it is a surprise."""

import re

import pytest

from tools import licenses


def test_the_page_of_licences_is_up_to_date() -> None:
    assert licenses.PAGE.read_text(encoding="utf-8") == licenses.page(), "run `make licenses`"


def test_every_package_that_ships_is_pinned_by_hash_and_is_on_the_page() -> None:
    lock = licenses.PINNED.with_suffix(".lock").read_text(encoding="utf-8")
    locked = re.findall(r"^([a-z0-9._-]+)==(\S+) \\\n    --hash=sha256:[0-9a-f]{64}", lock, re.MULTILINE)
    listed = re.findall(r"^\| ([a-z0-9._-]+) \| (\d\S*) \|", licenses.PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert locked == listed
    assert len(locked) == len(re.findall("==", lock))


def test_a_licence_that_nobody_has_looked_at_stops_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(licenses, "ALLOWED", licenses.ALLOWED - {"PSF-2.0"})
    with pytest.raises(licenses.UnknownLicenceError, match="typing-extensions"):
        licenses.page()
