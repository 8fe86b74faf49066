"""What a benchmark hands to the report: a table, the ratios that must hold, and a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Ratio:
    """A measured figure, and what it must not exceed or fall below."""

    name: str
    value: float
    at_most: float | None = None
    at_least: float | None = None
    aim: str = ""

    @property
    def holds(self) -> bool:
        return (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )

    @property
    def better(self) -> str:
        return "more" if self.at_most is None else "less"

    @property
    def bound(self) -> str:
        if self.at_most is not None:
            return f"at most {self.at_most:g}"
        if self.at_least is not None:
            return f"at least {self.at_least:g}"
        return ""


@dataclass(frozen=True)
class Bars:
    """A bar chart. `file` is its name under docs/images, `values` are by label, `alt` is what it shows, in words."""

    file: str
    title: str
    axis: str
    values: Mapping[str, float]
    alt: str
    ours: str = ""


@dataclass(frozen=True)
class Lines:
    """Lines over a logarithmic scale, named at their ends: `values` are points by label."""

    file: str
    title: str
    across: str
    axis: str
    values: Mapping[str, Sequence[tuple[float, float]]]
    alt: str
    ours: str = ""


@dataclass(frozen=True)
class Section:
    """One comparison. `rows` are the table's, `columns` its heads; `notes` are sentences of Markdown.

    `headline` has what the summary shows: ours divided by theirs, by peer and request.
    """

    title: str
    intro: str
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    ratios: Sequence[Ratio] = ()
    charts: Sequence[Bars | Lines] = ()
    notes: Sequence[str] = field(default=())
    headline: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
