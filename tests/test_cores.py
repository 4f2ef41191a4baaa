"""Simulations of more cores, from what stages take here: the arithmetic, the tables, and a short run."""

import json

import pytest

from lvd_live.bench import cli, cores, scaling
from lvd_live.errors import UserError
from lvd_live.paths import DEMO
from lvd_live.session.video import VideoWriter


def times(person=8.0, draw=4.0, **fit):
    return {
        "found": [person] * 9,
        "draw": [draw] * 9,
        **{name: [fit.get(name, 0.0)] * 9 for name in cores.ENCODE + cores.FIT},
    }


def test_the_share_that_threads_divide_is_amdahls():
    assert cores.divided_share(10, 5) == 1 and cores.divided_share(10, 10) == 0
    assert cores.divided_share(10, 7) == pytest.approx(0.6)
    assert cores.divided_share(10, 12) == 0 and cores.divided_share(10, 4) == 1  # noise


def test_of_each_frame_the_least_counts():
    assert cores.least([{"a": [3, 5, 9]}, {"a": [4, 2]}]) == {"a": [3, 2]}


def test_what_is_simulated_on_more_cores():
    """Person 8, features 20 of which threads divide half, outline 6, drawn in 4: nothing waits for a camera of 30."""
    costs = cores.costs_of(times(features=20.0, outline=6.0), {"features": 0.5}, decode_ms=1.0)
    found = {(c, k): cores.simulated(costs, c, k) for c, k in ((1, 1), (4, 1), (4, 2))}
    assert found[4, 2]["live"]["30"]["fits_per_second"] == pytest.approx(30, rel=0.02)
    assert found[4, 1]["live"]["30"]["latency_ms"] == pytest.approx(1 + 8 + 26 + 4)
    assert found[4, 2]["live"]["30"]["latency_95_ms"] == pytest.approx(1 + 8 + 10 + 5 + 6 + 4)
    assert found[1, 1]["file"] == pytest.approx(1000 / (1 + 8 + 26))
    assert found[4, 1]["file"] == pytest.approx(9 * 1000 / (9 + 9 * 20 + 6)) and found[4, 1]["threads"] == 1


def test_the_tool_draws_tells_and_keeps_it(tmp_path, capsys, monkeypatch):
    """Without what takes minutes: every curve a short one, and the study of what was simulated above."""
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    costs = cores.costs_of(times(features=20.0, outline=6.0), {"features": 0.5}, decode_ms=1.0)
    found = {"fits_per_second": 20.0, "latency_ms": 50.0, "latency_95_ms": 60.0}
    figures = {
        "engine": "float32",
        "stages_ms": {"decode": 1.0, "features": 20.0},
        "divided_shares": {"features": 0.5},
        "simulated": [cores.simulated(costs, c, k) for c, k in ((1, 1), (2, 1), (4, 2))],
        "one_core_busy": [cores.simulated(costs, 2, 1, busy=1)],
        "by_threads": [cores.simulated(costs, 4, k) for k in (1, 2)],
        "measured": [
            {"cores": 1, "fps": 30, "measured": found, "simulated": found},
            {"cores": 1, "fps": None, "measured": {"fits_per_second": 21.0}, "simulated": {"fits_per_second": 22.0}},
        ],
    }
    for name in ("over_vertices", "over_iterations", "over_perturbations", "over_picture_size", "over_clips"):
        monkeypatch.setattr(scaling, name, lambda *_: ([1, 2], [3.0, 4.0]))
    monkeypatch.setattr(scaling, "over_clip_length", lambda *_: (([1, 2], [3.0, 4.0]), ([1, 2], [3.0, 4.0])))
    monkeypatch.setattr(cores, "study", lambda video: figures)
    picture, kept = tmp_path / "scaling.png", tmp_path / "scaling.json"
    assert cli.main(["--scaling", str(picture), "--json", str(kept), "--threads", "1"]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG") and json.loads(kept.read_text())["cores"] == figures
    told = capsys.readouterr().out
    assert (
        "| 2, 1 kept busy by others | 1 |" in told and "| 1 | camera at 30 | 20.0 | 50 (60) | 20.0 | 50 (60) |" in told
    )
    assert "| 1 | a file | 21.0 |  | 22.0 |  |" in told


@pytest.mark.slow
def test_a_short_run_says_all_and_is_drawn(tmp_path):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    figures = json.loads(json.dumps(cores.study(DEMO, frames=6, rounds=1, seconds=1.0)))
    assert [row["cores"] for row in figures["simulated"]] == [1, 2, 4, 8, 16]
    assert [row["threads"] for row in figures["simulated"]] == [1, 1, 2, 4, 4]
    assert all(ms > 0 for name, ms in figures["stages_ms"].items() if name != "hands")
    one_core = [row for row in figures["measured"] if row["cores"] == 1]
    assert [row["fps"] for row in one_core] in ([30, 60, None], [])
    for row in one_core:
        assert 0.2 < row["measured"]["fits_per_second"] / row["simulated"]["fits_per_second"] < 5
    text = cores.report(figures)
    assert "| 16 | 4 |" in text and "features" in text
    figure, axes = pyplot.subplots(1, 3)
    cores.draw(axes, figures)
    figure.savefig(tmp_path / "cores.png")


def test_nobody_to_follow_takes_a_sentence(tmp_path):
    import numpy as np

    writer = VideoWriter(tmp_path / "grey.mp4", 25, (64, 48))
    for _ in range(3):
        writer.write(np.full((48, 64, 3), 90, np.uint8), None)
    writer.close()
    with pytest.raises(UserError, match="Nobody can be followed"):
        cores.study(tmp_path / "grey.mp4", frames=3, rounds=1)


@pytest.mark.slow
def test_the_vertices_curve_of_an_engine_of_eight_bits():
    """Untrained weights have no ranges for eight bits, and the field needs none."""
    counts, times = scaling.over_vertices("int8")
    assert len(counts) == len(times) and all(ms > 0 for ms in times)
