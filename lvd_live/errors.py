"""Errors that a user can cause, each told in one sentence that says what is wrong and what to do."""

import argparse
import sys
from collections.abc import Callable, Sequence


class UserError(Exception):
    """Something outside the program is wrong: a file, a device, an option. Shown without a traceback.

    exit_code is the process's exit status: 2 for bad input or options, 1 for a run that could not go on.
    """

    def __init__(self, message: str, *, exit_code: int = 2):
        super().__init__(message)
        self.exit_code = exit_code


class Parser(argparse.ArgumentParser):
    """A command line of which a mistake is one sentence. Options are not guessed from their first letters."""

    def __init__(self, **options):
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str):
        raise UserError(f"{message[:1].upper()}{message[1:]} (--help lists the options).")


def run_cli(main: Callable[[Sequence[str] | None], int | None], argv: Sequence[str] | None = None) -> int:
    """Run a command line's `main(argv)`; returns the process's exit status.

    UserError becomes its sentence on stderr and its exit code, Ctrl-C one word and 130. Anything else is a mistake in
    the program and passes through with its traceback.
    """
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
