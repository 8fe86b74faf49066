"""`make run`."""

import sys


def main() -> int:
    """Run the local stack; Ctrl-C ends it without a traceback even while it is still being read."""
    try:
        from local.run import run  # noqa: PLC0415 - this takes a second, in which somebody may change his mind
    except KeyboardInterrupt:
        return 130
    return run()


if __name__ == "__main__":
    sys.exit(main())
