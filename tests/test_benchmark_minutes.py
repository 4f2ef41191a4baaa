"""What `--benchmark` tells of each minute."""

from types import SimpleNamespace

import pytest

from lvd_live.gui import benchmark
from lvd_live.gui.benchmark import Benchmark, count_entries


def test_each_minute_is_told_and_what_grew(monkeypatch):
    page = SimpleNamespace(displayed=0, picture=SimpleNamespace(latencies_ms=[]))
    run = SimpleNamespace(window=SimpleNamespace(page=page), _minutes=[], _counted=(0, 0))
    memory, entries = iter((500.0, 510.0, 512.0)), {"task": 12, "fd": 40}
    monkeypatch.setattr(benchmark, "resident_mb", lambda: next(memory))
    monkeypatch.setattr(benchmark, "count_entries", entries.get)
    for fits, latency in ((600, 50.0), (1500, 80.0), (1500, 90.0)):
        page.displayed, entries["fd"] = fits, entries["fd"] + 1
        page.picture.latencies_ms += [latency] * 20
        Benchmark._note_minute(run)
    assert [m.fits for m in run._minutes] == [600, 900, 0] and [m.late_ms for m in run._minutes] == [50, 80, 90]
    lines = Benchmark._of_minutes(run)
    assert len(lines) == 5 and lines[-1].endswith("+12 MB, +0 threads, +2 handles")
    assert lines[2].split() == ["2", "15.0", "80", "510", "12", "42"]
    assert Benchmark._of_minutes(SimpleNamespace(_minutes=run._minutes[:1])) == []


@pytest.mark.skipif(count_entries("fd") is None, reason="this system does not say")
def test_handles_are_counted(tmp_path):
    before = count_entries("fd")
    with (tmp_path / "file").open("w"):
        assert count_entries("fd") == before + 1
