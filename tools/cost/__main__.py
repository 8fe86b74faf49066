"""Writes the tables between the markers of docs/operations.md, and the plot that it shows."""

from tools.cost import page

page.PAGE.write_text(page.with_block(page.PAGE.read_text(encoding="utf-8")), encoding="utf-8")
page.PLOT.write_text(page.svg(), encoding="utf-8")
