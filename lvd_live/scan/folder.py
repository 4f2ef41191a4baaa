"""Registering many scans into a folder: one .npz each, a table, and no work done twice."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lvd_live.errors import UserError
from lvd_live.scan.output import summary, write_registration
from lvd_live.scan.reading import SUFFIXES, read_scan
from lvd_live.scan.result import Registration
from lvd_live.scan.starts import Told
from lvd_live.storage.files import write_whole

TABLE = "registrations.csv"
SHAPE = "same_person.npz"
COLUMNS = (
    "scan",
    "result",
    "explained",
    "unit",
    "up",
    "one_sided",
    "scan_to_fit_mm",
    "scan_to_fit_p90_mm",
    "fit_to_scan_mm",
    "problem",
)


@dataclass(frozen=True)
class Job:
    """How a folder's scans are registered.

    told, model : see `Registrar`. sequence : each fit starts where the last one ended. same_person : one shape for all.
    suffix : a mesh format to write beside the .npz, or None. body : what names the body file.
    """

    told: Told
    model: str
    sequence: bool = False
    same_person: bool = False
    suffix: str | None = None
    body: str = ""

    def key(self, scan: Path) -> str:
        """Of a scan's place, size and age and the options: another key is another result."""
        there = scan.stat()
        text = json.dumps([scan.name, there.st_size, there.st_mtime_ns, repr(self)])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def find_scans(folder: Path) -> list[Path]:
    """The scans in a folder, as people count: scan2 before scan10. Raises UserError where there are none."""
    found = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file()]
    if not found:
        raise UserError(f"There are no scans in {folder}: {', '.join(SUFFIXES)}.")
    return sorted(found, key=lambda p: [int(t) if t.isdigit() else t.lower() for t in re.split(r"(\d+)", p.name)])


def register_all(
    scans: Sequence[Path],
    out: Path,
    registrar: Callable[..., Registration],
    job: Job,
    progress: Callable[[], None] = lambda: None,
) -> list[dict[str, Any]]:
    """Register scans into the folder `out`; those that are there already are not done again.

    Returns a row of COLUMNS for each scan; the same are in the table, which is written after every scan. A scan that
    cannot be registered is a row with its problem. registrar : a `Registrar` or a `HandRegistrar`.
    progress : called after each scan.
    """
    betas = _common_shape(scans, out, registrar, job) if job.same_person else None
    rows: list[dict[str, Any]] = []
    before: Registration | None = None
    for scan, target in zip(scans, _targets(scans, out), strict=True):
        row = _done(target, job.key(scan))
        if row is None:
            try:
                fit = registrar(read_scan(scan), job.told, model=job.model, betas=betas, before=before)
                before = fit if job.sequence and fit.explained else None
                write_registration(fit, target, {"scan": scan.name, "key": job.key(scan)})
                if job.suffix is not None:
                    write_registration(fit, target.with_suffix(job.suffix))
                row = summary(fit)
                if not fit.explained:
                    row["problem"] = "the fit does not explain the scan"
            except UserError as error:
                row, before = {"problem": str(error)}, None
        else:
            before = None
        rows.append({"scan": scan.name, "result": target.name if "unit" in row else "", **row})
        write_whole(out / TABLE, _table(rows))
        progress()
    return rows


def _targets(scans: Sequence[Path], out: Path) -> list[Path]:
    """The results' paths: by the scans' stems, with their suffixes where two are the same."""
    stems = [scan.stem for scan in scans]
    return [
        out / (f"{scan.stem}.npz" if stems.count(scan.stem) == 1 else f"{scan.name.replace('.', '_')}.npz")
        for scan in scans
    ]


def _done(target: Path, key: str) -> dict[str, Any] | None:
    """The row of a result that is there, with this key."""
    try:
        with np.load(target, allow_pickle=False) as file:
            meta = json.loads(str(file["meta"]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    if meta.get("key") != key:
        return None
    if not meta["explained"]:
        meta["problem"] = "the fit does not explain the scan"
    return {name: meta[name] for name in COLUMNS if name in meta and name != "scan"}


def _common_shape(
    scans: Sequence[Path], out: Path, registrar: Callable[..., Registration], job: Job
) -> np.ndarray | None:
    """betas (B,) of one person from all scans that are explained: the mean, where the scans agree least counts least.

    None where no scan is explained.
    """
    path, key = out / SHAPE, ".".join(job.key(scan) for scan in scans)
    key = hashlib.sha256(key.encode()).hexdigest()[:16]
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["key"]) == key:
                return file["betas"].astype(float)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass
    found, weights = [], []
    for scan in scans:
        try:
            fit = registrar(read_scan(scan), job.told, model="smpl")
        except UserError:
            continue
        if fit.explained:
            found.append(fit.betas)
            weights.append(fit.residual**-2 * (0.3 if fit.partial else 1.0))
    if not found:
        return None
    betas = np.average(found, axis=0, weights=weights)
    buffer = io.BytesIO()
    np.savez(buffer, betas=betas, key=np.array(key))
    write_whole(path, buffer.getvalue())
    return betas


def _table(rows: Sequence[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
