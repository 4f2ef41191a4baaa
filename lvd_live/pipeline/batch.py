"""python -m lvd_live batch: many clips, on all cores, side by side in one network's batch, or on a Ray cluster."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Generator
from pathlib import Path

from tqdm import tqdm

from lvd_live.errors import Parser, UserError
from lvd_live.pipeline import jobs as jobs_module
from lvd_live.pipeline import runners
from lvd_live.pipeline.jobs import SUFFIXES, Job, Outcome, find_jobs, find_others
from lvd_live.sources.kinds import PICTURE_SUFFIXES
from lvd_live.threads import count_cores
from lvd_live.tracking.options import QUALITY_CHOICES, QUALITY_HELP, TrackerOptions

_NAMED = 5  # files that are no clips


def main(argv: list[str] | None = None) -> int:
    """The `batch` tool.

    Returns 0 where every clip is whole and has its sequence, with somebody in it, 1 where some are or have not, 130
    after Ctrl-C. Raises UserError.
    """
    args = _parser().parse_args(argv)
    if min(args.jobs, args.batch) < 1:
        raise UserError("--jobs and --batch must be at least 1.")
    options = _resolved(TrackerOptions.given(args))
    if args.batch > 1 and (args.ray or options.preset != "live"):
        raise UserError("--batch is for the live network on this machine: leave out --ray and --preset.")
    if not args.folder.is_dir():
        there = args.folder.exists()
        raise UserError(f"{args.folder} is no folder." if there else f"There is no folder {args.folder}.")
    folder, out = args.folder.resolve(), args.out.resolve()
    jobs = find_jobs(folder, out, options, args.quality)
    if not jobs:
        raise UserError(f"There are no clips in {args.folder}: {', '.join(sorted(SUFFIXES))}.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"Cannot write to {args.out}: {error.strerror or error}.") from error
    if others := find_others(folder, out):
        sys.stderr.write(_left_out(others, folder))
    done = {job.clip: jobs_module.finished(job) for job in jobs}
    outcomes = [outcome for outcome in done.values() if outcome is not None]
    left = [job for job in jobs if done[job.clip] is None]
    interrupted = False
    try:
        with (
            contextlib.closing(_run(left, args)) as running,
            tqdm(total=len(jobs), initial=len(outcomes), unit="clip", file=sys.stderr) as bar,
        ):
            for outcome in running:
                outcomes.append(outcome)
                bar.update()
    except KeyboardInterrupt:
        interrupted = True
    sys.stdout.write(table(outcomes, folder) + "\n")
    return 130 if interrupted else 1 if any(o.problem for o in outcomes) else 0


def table(outcomes: list[Outcome], folder: Path) -> str:
    """A Markdown table of the outcomes, by clip."""
    lines = ["| clip | frames | tracked | s | frames/s | |", "|---|---|---|---|---|---|"]
    for o in sorted(outcomes, key=lambda o: o.clip):
        rate = f"{o.frames / o.seconds:.1f}" if o.seconds else ""
        note = o.problem or ("done before" if o.before else "")
        lines.append(f"| {o.clip.relative_to(folder)} | {o.frames} | {o.tracked} | {o.seconds:.1f} | {rate} | {note} |")
    return "\n".join(lines)


def _left_out(others: list[Path], folder: Path) -> str:
    """A line that names files which are no clips."""
    named = ", ".join(str(path.relative_to(folder)) for path in others[:_NAMED])
    more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
    pictures = any(path.suffix.lower() in PICTURE_SUFFIXES for path in others)
    hint = " Pictures are tracked by the main job: --images DIR." if pictures else ""
    return f"No clips, and left out: {named}{more}.{hint}\n"


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m lvd_live batch", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="clips, also in folders of its own")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="where the sequences go; those that are there, whole, of the same clip and with the same options are kept",
    )
    parser.add_argument("--jobs", type=int, default=count_cores(), help="processes (default: one for each core)")
    parser.add_argument(
        "--batch",
        type=int,
        default=1,
        metavar="N",
        help="N clips side by side in one process, one step of the network (2 iterations) for all of them: for a GPU",
    )
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help='a Ray cluster whose machines see both folders ("auto", ray://HOST:10001; "local": one started here)',
    )
    parser.add_argument("--quality", choices=QUALITY_CHOICES, default="auto", help=QUALITY_HELP)
    TrackerOptions.add_arguments(parser.add_argument_group("fit, everybody's alike"))
    return parser


def _resolved(given: dict) -> TrackerOptions:
    """Other processes may stand in another folder: paths are made absolute."""
    paths = {name: given[name].resolve() for name in ("weights", "body") if name in given}
    return TrackerOptions(**(given | paths))


def _run(jobs: list[Job], args: argparse.Namespace) -> Generator[Outcome, None, None]:
    if args.ray and jobs:
        return runners.run_ray(jobs, args.ray)
    if args.batch > 1 and jobs:
        return runners.run_batched(jobs, args.batch)
    return runners.run_processes(jobs, args.jobs)
