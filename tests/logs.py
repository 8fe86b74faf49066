"""Everything that is written meanwhile: by loggers, whoever made them and when, and to standard output and error."""

import io
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout


@contextmanager
def everything_logged() -> Iterator[io.StringIO]:
    """Collect it in one text. A logger made earlier has kept the standard output of its time, so it is redirected."""
    text = io.StringIO()
    names = [None, *logging.root.manager.loggerDict]
    handlers = {handler for name in names for handler in logging.getLogger(name).handlers}
    streams = {handler: handler.stream for handler in handlers if type(handler) is logging.StreamHandler}
    with ExitStack() as stack:
        for handler, stream in streams.items():  # `setStream` would flush the old one, which may be closed
            handler.stream = text
            stack.callback(setattr, handler, "stream", stream)
        stack.enter_context(redirect_stdout(text))
        stack.enter_context(redirect_stderr(text))
        yield text
