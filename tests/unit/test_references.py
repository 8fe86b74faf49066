"""Every reference to a page or to a section of one leads somewhere, and no page outside the repository is cited.

Three forms are read, in every text file: a name that ends in .md, a section in words ("docs/contract.md, Errors"), and
an anchor ("operations.md#upgrades", "#upgrades").
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.unit.world import ROOT

TEXTS: Final = {"", ".css", ".html", ".in", ".js", ".json", ".md", ".mjs", ".py", ".toml", ".txt", ".yaml", ".yml"}
MADE: Final = {"build", "dist", "node_modules"}  # by programs, as is everything whose name begins with a dot
DOTTED: Final = {".ci", ".github"}

# Names of pages, not the ends of addresses on the web, of patterns or of attributes.
_PAGE: Final = re.compile(r"(?<![\w/.:*<{-])((?:[\w.-]+/|\.\./)*[\w-]+\.md)\b(#[\w-]+)?(?:, ([A-Z][^\n]*))?")
_OWN_ANCHOR: Final = re.compile(r"\]\((#[\w-]+)\)")
_LINKED_FILE: Final = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
_WRAPPED: Final = re.compile(r"\n[ \t]*(?:(?:#|//)[ \t]+)?")


@cache
def headings(page: Path) -> tuple[str, ...]:
    """Return the titles of a page's sections, without the code blocks' comments."""
    text = re.sub(r"^[ \t]*```.*?^[ \t]*```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    return tuple(re.findall(r"^#+ (.+?)\s*$", text, re.MULTILINE))


def anchor(title: str) -> str:
    """Return GitHub's anchor of a title: "Expired, ended, unknown" has #expired-ended-unknown."""
    return "#" + re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def found(name: str, source: Path) -> Path | None:
    """Return the page that `name` means in `source`: from the top of the repository, from beside it, or in docs."""
    for folder in (ROOT, source.parent, ROOT / "docs"):
        page = (folder / name).resolve()
        if page.is_file() and page.is_relative_to(ROOT):
            return page
    return None


def faults(text: str, source: Path) -> Iterator[str]:
    """Yield each reference in `text` that leads nowhere."""
    for name, target, section in _PAGE.findall(_WRAPPED.sub(" ", text)):
        page = found(name, source)
        if page is None:
            yield f"{name}: no such page in the repository"
        elif target and target not in map(anchor, headings(page)):
            yield f"{name}{target}: no such section"
        elif section and not any(re.match(re.escape(title) + r"(?!\w)", section) for title in headings(page)):
            yield f"{name}, {section[:40]}: no such section"
    if source.suffix == ".md":
        yield from (own for own in _OWN_ANCHOR.findall(text) if own not in map(anchor, headings(source)))
        yield from (link for link in _LINKED_FILE.findall(text) if not (source.parent / link).exists())


def sources(folder: Path = ROOT) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            if path.name in DOTTED or not (path.name.startswith((".", "__")) or path.name in MADE):
                yield from sources(path)
        elif path.suffix in TEXTS:
            yield path


def test_every_reference_leads_to_a_page_and_a_section_that_are_there() -> None:
    wrong = {
        str(path.relative_to(ROOT)): list(found_faults)
        for path in sources()
        if (found_faults := list(faults(path.read_text("utf-8"), path)))
    }
    assert wrong == {}


def test_the_drawing_of_the_package_has_every_file_of_it() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8").partition("## The package")[2]
    [drawing, *_] = re.findall(r"^```\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    package = ROOT / "layers" / "domain" / "agent_sessions"
    files = {path.stem for path in package.rglob("*.py") if path.stem != "__init__"}
    assert files
    assert files - set(re.findall(r"\w+", drawing)) == set()


CODE: Final = ROOT / "layers" / "any.py"
PAGE: Final = ROOT / "docs" / "contract.md"
OUTSIDE: Final = "OUTSIDE" + ".md"
CONTRACT: Final = "docs/contract" + ".md"


@pytest.mark.parametrize(
    "text, source",
    [
        (f"as {OUTSIDE} section 3 has it", CODE),
        (f"docs/{OUTSIDE}", CODE),
        (f"../elsewhere/{OUTSIDE}", CODE),
        (f"the bound ({CONTRACT}, Nothing of the kind)", CODE),
        (f"the bound ({CONTRACT},\n# Nothing of the kind)", CODE),
        (f"{CONTRACT}#nothing", CODE),
        ("[there](#nothing)", PAGE),
        ("[there](nothing.svg)", PAGE),
    ],
)
def test_a_reference_that_leads_nowhere_is_found(text: str, source: Path) -> None:
    assert list(faults(text, source))


@pytest.mark.parametrize(
    "text, source",
    [
        (f"the bound ({CONTRACT}, Expired, ended, unknown)", CODE),
        (f"the bound ({CONTRACT},\n    # Errors), and more", CODE),
        (f"see {CONTRACT}, which says more", CODE),
        (f"{CONTRACT}#expired-ended-unknown", CODE),
        ("[there](#errors), [that](events.md#repeats), [it](openapi.json)", PAGE),
        (f"https://example.com/blob/main/{OUTSIDE}", PAGE),
    ],
)
def test_a_reference_that_leads_somewhere_is_let_be(text: str, source: Path) -> None:
    assert list(faults(text, source)) == []
