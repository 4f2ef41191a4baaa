"""The command line: the main job (a camera, a video, pictures) and the tools beside it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence

from lvd_live.errors import run_cli


def main(argv: Sequence[str] | None = None) -> int:
    """`lvd-live …`: a tool where its name comes first, "tools" for their list, else the main job. Raises UserError."""
    from lvd_live.cli import main_job, tools

    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["tools"]:
        return tools.main(["--help"])
    return tools.main(arguments) if arguments and arguments[0] in tools.TOOLS else main_job.main(arguments)


def run() -> None:
    """`main` with the process's arguments, and the end of the process; a user's mistake is told in a sentence."""
    leave(run_cli(main))


def leave(status: int) -> None:
    """End the process.

    A daemon thread may still load a model or wait for a camera's driver: Python's own end would abort under its feet,
    so that is left out then. Threads that finish files are waited for.
    """
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.main_thread():
            thread.join()
    if any(thread.daemon for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
