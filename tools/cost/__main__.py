"""Prints the tables; with `--write` puts them into docs/operations.md, between its markers, and the plot beside it."""

import argparse

from tools.cost import page, plot

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tools.cost", description=__doc__)
    parser.add_argument("--write", action="store_true", help="into docs/operations.md and docs/images")
    if parser.parse_args().write:
        page.PAGE.write_text(page.with_block(page.PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        plot.draw(plot.PLOT)
    else:
        print(page.block())
