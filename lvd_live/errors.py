"""Errors that a user can cause, each shown as one sentence that says what is wrong and what to do."""

from __future__ import annotations

import argparse
import io
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")  # in the name of a file, they could command a terminal


class UserError(Exception):
    """Something outside the program is wrong: a file, a device, an option. Shown without a traceback, on one line.

    exit_code : the process's exit status: 2 for bad input or options, 1 for a run that could not go on.
    """

    def __init__(self, message: str, *, exit_code: int = 2):
        super().__init__(_CONTROL.sub(lambda found: repr(found[0])[1:-1], message))
        self.exit_code = exit_code


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are `UserError`s. Abbreviated options and empty values are not accepted."""

    def __init__(self, **options: Any):
        super().__init__(allow_abbrev=False, **options)

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> tuple[Any, list[str]]:  # type: ignore[override]
        """See argparse. An empty value, as of a shell's variable that is not set, would be the current folder."""
        given = list(sys.argv[1:] if args is None else args)
        for before, value in zip(["", *given], given, strict=False):
            if not value or (value.startswith("--") and value.endswith("=")):
                name = value[:-1] or (before if before.startswith("-") else "")
                self.error(f"{name} has an empty value" if name else "an argument is empty")
        return super().parse_known_args(given, namespace)

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message[:1].upper()}{message[1:]} (--help lists the options).")


def run_cli(main: Callable[[Sequence[str] | None], int | None], argv: Sequence[str] | None = None) -> int:
    """Run a command line's `main(argv)`. Returns the process's exit status.

    UserError becomes its sentence on stderr and its exit code, Ctrl-C one word and 130. Any other exception is a
    mistake in the program and passes through with its traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that lacks a name's characters shows their numbers
            stream.reconfigure(errors="backslashreplace")
    try:
        return int(main(argv) or 0)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        return 130
    except BrokenPipeError:  # the reader of our output, such as `head`, has left
        sys.stderr.close()
        return 0
