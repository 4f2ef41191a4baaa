"""The benchmark's figures as text."""

from __future__ import annotations

from lvd_live.bench.measure import Figures
from lvd_live.bench.reference import ITERATIONS


def report(results: list[Figures], clip: str) -> str:
    """Markdown tables of `measure`'s results, by device and number of threads; clip : the video's name."""
    lines: list[str] = []
    for device, threads in dict.fromkeys((r["device"], r["threads"]) for r in results):
        rows = [r for r in results if (r["device"], r["threads"]) == (device, threads)]
        best = next(r for r in rows if "roofline" in r)
        size = f"{best['size'][0]}x{best['size'][1]}"
        where = f"{clip}, {size}, {device}, {threads} thread(s)"
        lines += [f"{where}; milliseconds of a warm frame, medians", ""]
        lines += _stages([r for r in rows if r["preset"] == "live"], list(best["stages_ms"]))
        lines += ["", *_variants(rows), "", *_sentences(best), "", *_roofline(best["roofline"]), ""]
    return "\n".join(lines)


def _stages(live: list[Figures], names: list[str]) -> list[str]:
    lines = ["| stage | " + " | ".join(r["variant"] for r in live) + " |", "|---" * (len(live) + 1) + "|"]
    for name in names:
        if name == "iterations":
            continue
        title = "**frame** (person and fit)" if name == "frame" else name
        cells = [f"{r['stages_ms'][name]:.2f}" if name in r["stages_ms"] else "" for r in live]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return lines


def _variants(rows: list[Figures]) -> list[str]:
    lines = [
        "| preset | variant | frame, ms | fits/s | times faster than the demo's loop | "
        "mesh moved, mm (paper: untrained) |",
        "|---|---|---|---|---|---|",
    ]
    for r in rows:
        speed = f"{r['frame_ms']:.1f} | {r['fits_per_second']:.1f} | {r['ratio_to_demo_loop']:.1f}"
        lines.append(f"| {r['preset']} | {r['variant']} | {speed} | {r['change_mm']:.3f} |")
    return lines


def _sentences(best: Figures) -> list[str]:
    few, demo = best["frame_of_2_iterations_ms"], best["demo_loop_ms"]
    iterations = f"{best['iterations']:.2f} iterations a frame"
    if few:
        iterations += f"; frames of at most 2: {few:.1f} ms, {demo / few:.0f} times faster than the demo's loop"
    kept = f" ({best['demo_loop_kept_ms']:.0f} with our memory setting)" if "demo_loop_kept_ms" in best else ""
    sustained, live = best["sustained_fits_per_second"], best["live_fits_per_second"]
    batched, uncertain = best["batched_fits_per_second"], best["batched_fits_with_uncertainty_per_second"]
    lines = [
        f"{iterations}.",
        f"Sustained over the file, decode and person ahead of the fit: {sustained:.1f} fits a second.",
        f"Live pipeline on a camera of 30 frames a second: {live:.1f} fits a second, "
        f"{best['live_latency_ms']:.0f} ms from a frame to its fit.",
        f"Eight sequences side by side, crops ready, 2 iterations: {batched:.0f} fits a second, "
        f"{uncertain:.0f} with uncertainty (M = 8, a sixteenth of the vertices).",
        f"The paper's network, {ITERATIONS} iterations, as the published demo runs it: {demo:.0f} ms{kept}.",
    ]
    if "plain_ms" in best:
        plain = f"{best['plain_ms']:.0f} ms (its output, 570 MB, fits into memory whole)"
        lines.append(f"As the formula says, N x N x 3 output: {plain}.")
    if best["peak_memory_mb"]:
        peak = f"{best['peak_memory_mb']:.0f} MiB"
        lines.append(f"Peak memory of the whole benchmark, both presets in every variant: {peak}.")
    return lines


def _roofline(rows: list[Figures]) -> list[str]:
    lines = [
        "| stage | GFLOP | MB | GFLOP/s | ceiling | GB/s ceiling | of the roofline |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        work = f"{r['gflop']:.3f} | {1000 * r['gbyte']:.0f}"
        limits = f"{r['gflops']:.0f} | {r['ceiling_gflops']:.0f} | {r['ceiling_gbytes']:.1f} | {r['fraction']:.0%}"
        lines.append(f"| {r['stage']} | {work} | {limits} |")
    return lines
