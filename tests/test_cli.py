"""The command line as a user meets it: each mistake one sentence on stderr, the right exit code, never a traceback."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from lvd_live.body.height import parse_height
from lvd_live.cli import main_job as program
from lvd_live.cli import tools
from lvd_live.cli.places import BODY, choose_places
from lvd_live.errors import UserError, run_cli
from lvd_live.paths import DEMO, MODELS
from lvd_live.session.sequence import load_sequence
from tests.conftest import ROOT
from tests.fakes import FakeFinder, FakeTracker


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Run main.py in an empty folder, stand-ins for finder and tracker, real sources: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(program.signal, "signal", lambda *_: None)
    made = {"finder": FakeFinder(), "tracker": FakeTracker()}
    monkeypatch.setattr(program, "make_finder", lambda *_, **__: made["finder"])
    monkeypatch.setattr(program, "make_tracker", lambda options: made["tracker"])

    def go(*arguments, missing=()):
        made.update(finder=FakeFinder(missing), tracker=FakeTracker())
        code = run_cli(program.main, [str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return go


@pytest.mark.parametrize(
    "arguments, name",
    [(("--video", ""), "--video"), (("--video=",), "--video"), (("--demo", "--output", ""), "--output")],
)
def test_an_empty_value_is_not_the_current_folder(run, arguments, name):
    """As of a shell's variable that is not set."""
    code, _, err = run(*arguments)
    assert code == 2 and err == f"{name} has an empty value (--help lists the options).\n"
    with pytest.raises(UserError, match="An argument is empty"):
        tools.main(["register", ""])


def make_video(path, size=(64, 48), frames=4, codec="mpeg4"):
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=10)
        stream.width, stream.height = size
        if codec == "png":
            stream.pix_fmt = "rgb24"
        for shade in range(frames):
            picture = np.full((size[1], size[0], 3), 40 * (shade % 6), np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                file.mux(packet)
        for packet in stream.encode(None):
            file.mux(packet)
    return path


def one_sentence(err):
    lines = [
        line
        for line in err.replace("\r", "\n").splitlines()
        if line.strip() and "frame/s" not in line and "?frame" not in line
    ]
    assert len(lines) == 1 and lines[0].rstrip().endswith((".", ".)")), lines
    return lines[0]


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "no display"),
        (["--video"], "expected one argument"),
        (["--video", "a.mp4", "--camera", "0"], "not allowed with"),
        (["--nonsense"], "[Uu]nrecognized"),
        (["--video", "a.mp4", "--nonsense"], "nonsense"),
        (["--video", "a.mp4", "--vid", "b"], "vid"),
        (["--demo", "--height", "tall"], "'tall' is no height"),
        (["--demo", "--height", "-1.8"], "(no height|expected one argument)"),
        (["--demo", "--height", "0.3"], "no height"),
        (["--demo", "--height", "18000"], "no height"),
        (["--demo", "--height", "nan"], "no height"),
        (["--demo", "--height", "5m"], "no height"),
        (["--demo", "--fov", "0"], "field of view"),
        (["--demo", "--fov", "nan"], "field of view"),
        (["--demo", "--fov", "wide"], "field of view"),
        (["--demo", "--iterations", "0"], "from 1 to 8"),
        (["--demo", "--iterations", "9"], "from 1 to 8"),
        (["--demo", "--iterations", "many"], "from 1 to 8"),
        (["--demo", "--preset", "huge"], "invalid choice"),
        (["--demo", "--person", "me"], "invalid choice"),
        (["--camera", ""], "--camera has an empty value"),
        (["--camera", "0", "--benchmark", "nan"], "no number of seconds"),
        (["--camera", "0", "--benchmark", "-5"], "(no number of seconds|expected one argument)"),
        (["--video", "a.mp4", "--benchmark", "5"], "measures the window"),
        (["--camera", "0", "--budget", "0"], "neither off nor a number of milliseconds"),
        (
            ["--camera", "rtsp://me:secret@127.0.0.1:9/x", "--output", "x.npz"],
            "stream rtsp://127.0.0.1:9/x sends no pictures",
        ),
        (["--camera", "²", "--output", "x.npz"], "no camera called .².; the system names"),
    ],
)
def test_bad_options(run, arguments, words):
    code, out, err = run(*arguments)
    assert code == 2 and not out and re.search(words, one_sentence(err))


@pytest.mark.parametrize(
    "text, metres", [("1.78", 1.78), ("178", 1.78), ("178cm", 1.78), ("1,78 m", 1.78), ("52.5 CM", 0.525), ("2.6", 2.6)]
)
def test_heights_people_write(text, metres):
    assert parse_height(text) == pytest.approx(metres)


def test_good_video_writes_what_it_says(run, tmp_path):
    make_video(tmp_path / "clip.mp4")
    code, out, _ = run(
        "--video", "clip.mp4", "--output", "out.npz", "--overlay", "o.mp4", "--sheet", "s.png", "--headless"
    )
    assert code == 0 and "4 of 4 frames tracked" in out
    assert all(name in out and (tmp_path / name).stat().st_size > 500 for name in ("out.npz", "o.mp4", "s.png"))
    assert load_sequence("out.npz").meta["source"] == "clip.mp4"


def test_default_name_goes_to_the_current_folder_and_clobbers_nothing(run, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    make_video(folder / "clip.mp4")
    for name in ("clip.npz", "clip-1.npz", "clip-2.npz"):
        code, out, _ = run("--video", folder / "clip.mp4")
        assert code == 0 and re.search(rf"\b{name}\b", out) and (tmp_path / name).exists()
    assert os.listdir(folder) == ["clip.mp4"]


def test_a_named_output_is_replaced(run, tmp_path):
    make_video(tmp_path / "clip.mp4")
    (tmp_path / "out.npz").write_bytes(b"old")
    assert run("--video", "clip.mp4", "--output", "out.npz")[0] == 0
    assert len(load_sequence("out.npz")) == 4


def test_folder_of_pictures(run, tmp_path):
    folder = tmp_path / "stills"
    folder.mkdir()
    for name, shape in (("1.png", (20, 30, 3)), ("2.png", (31, 17)), ("3.png", (1, 1, 3)), ("4.png", (9, 9, 4))):
        cv2.imwrite(str(folder / name), np.full(shape, 128, np.uint8))
    code, _, _ = run("--images", folder)
    sequence = load_sequence("stills.npz")
    assert (
        code == 0
        and sequence.image_size.tolist() == [[30, 20], [17, 31], [1, 1], [9, 9]]
        and sequence.meta["names"][3] == "4.png"
    )


def test_nobody_in_the_video(run, tmp_path):
    make_video(tmp_path / "clip.mp4")
    code, out, err = run("--video", "clip.mp4", missing=range(9))
    assert code == 1 and "Nobody was found" in one_sentence(err) and not load_sequence("clip.npz").tracked.any()


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "noise", "header only", "folder"])
def test_what_is_no_video(run, tmp_path, kind):
    path = tmp_path / "clip.mp4"
    make_video(tmp_path / "good.mp4")
    {
        "missing": lambda: None,
        "empty": lambda: path.write_bytes(b""),
        "text": lambda: path.write_text("Dear diary, today I made a video.\n" * 50),
        "noise": lambda: path.write_bytes(np.random.default_rng(0).bytes(5000)),
        "header only": lambda: path.write_bytes((tmp_path / "good.mp4").read_bytes()[:40]),
        "folder": path.mkdir,
    }[kind]()
    code, out, err = run("--video", path, "--output", "out.npz")
    assert code == 2 and not out and "clip.mp4" in one_sentence(err) and not Path("out.npz").exists()


def test_no_pictures(run, tmp_path):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "none"):
        code, _, err = run("--images", path, "--output", "out.npz")
        assert code == 2 and path.name in one_sentence(err)


def test_a_video_cut_in_the_middle_keeps_its_beginning(run, tmp_path):
    whole = tmp_path / "whole.mkv"
    make_video(whole, frames=60)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    code, _, err = run("--video", cut)
    sequence = load_sequence("cut.npz")
    assert code == 0 and 1 < len(sequence) < 60 and "cut" in one_sentence(err) and "cut" in sequence.meta["damaged"]


@pytest.mark.parametrize("size", [(1, 1), (17, 35), (641, 479), (3, 900)])
def test_videos_of_odd_and_tiny_sizes(run, tmp_path, size):
    make_video(tmp_path / "clip.avi", size, codec="png")
    assert run("--video", "clip.avi", "--overlay", "o.mp4")[0] == 0
    assert load_sequence("clip.npz").meta["overlay"] == "o.mp4"
    assert load_sequence("clip.npz").image_size[0].tolist() == list(size)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--output", "none/out.npz"],
        ["--output", "folder.npz"],
        ["--output", "out.txt"],
        ["--output", "/proc/out.npz"],
        ["--overlay", "none/o.mp4"],
        ["--overlay", "o.gif"],
        ["--overlay", "clip.mp4"],
        ["--sheet", "none/s.png"],
        ["--sheet", "s.docx"],
    ],
)
def test_unwritable_outputs(run, tmp_path, arguments):
    make_video(tmp_path / "clip.mp4")
    (tmp_path / "folder.npz").mkdir()
    before = sorted(os.listdir(tmp_path))
    code, out, err = run("--video", "clip.mp4", *arguments)
    assert (
        code == 2
        and not out
        and one_sentence(err).startswith("Cannot write")
        and sorted(os.listdir(tmp_path)) == before
    )


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--images", "photos", "--sheet", "photos/a.png"], "one of the pictures"),
        (["--images", "photos/a.png", "--sheet", "photos/a.png"], "one of the pictures"),
        (["--images", "photos", "--sheet", "link.png"], "one of the pictures"),
        (["--video", "clip.mp4", "--overlay", "photos/../clip.mp4"], "the video"),
        (["--video", "clip.mp4", "--output", "body.npz", "--body", "body.npz"], "the body file"),
        (["--video", "clip.mp4", "--output", BODY], "the body file"),
    ],
)
def test_no_input_is_overwritten(run, tmp_path, arguments, words):
    make_video(tmp_path / "clip.mp4")
    (tmp_path / "body.npz").write_bytes(b"a body")
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "a.png"), np.zeros((9, 9, 3), np.uint8))
    (tmp_path / "link.png").symlink_to(tmp_path / "photos" / "a.png")
    code, out, err = run(*arguments)
    assert code == 2 and not out and one_sentence(err).startswith("Cannot write") and f"{words} to be read" in err


def test_a_sheet_may_stand_beside_the_pictures(run, tmp_path):
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "a.png"), np.zeros((9, 9, 3), np.uint8))
    assert run("--images", "photos", "--sheet", "photos/sheet.png")[0] == 0


@pytest.mark.parametrize("name", ["a" * 300 + ".mp4", "a\0b.mp4"])
@pytest.mark.parametrize("option", ["--video", "--images", "--body", "--output", "--overlay"])
def test_names_that_cannot_be(run, tmp_path, name, option):
    make_video(tmp_path / "clip.mp4")
    name = name.replace(".mp4", ".npz") if option == "--output" else name
    code, out, err = run(*([] if option in ("--video", "--images") else ["--video", "clip.mp4"]), option, name)
    assert code == 2 and not out and re.search("name too long|stray characters", one_sentence(err))


def test_a_long_name_in_any_script_is_written(run, tmp_path):
    name = "\N{SNOWMAN}" * 80 + ".mp4"  # 244 bytes
    make_video(tmp_path / "clip.mp4").rename(tmp_path / name)
    assert run("--video", name)[0] == 0 and len(load_sequence(name.replace(".mp4", ".npz"))) == 4


def test_versions_are_stored(run, tmp_path):
    make_video(tmp_path / "clip.mp4")
    run("--video", "clip.mp4", "--output", "out.npz")
    versions = load_sequence("out.npz").meta["versions"]
    assert set(versions) == {"torch", "numpy", "onnxruntime"} and versions["numpy"] == np.__version__


def test_a_person_without_a_fit_is_not_called_nobody(run, tmp_path, monkeypatch):
    make_video(tmp_path / "clip.mp4")
    monkeypatch.setattr(FakeTracker, "step", lambda self, frame, person, later=(): None)
    code, _, err = run("--video", "clip.mp4")
    assert code == 1 and "did not settle" in one_sentence(err)


def test_missing_body(run, tmp_path):
    make_video(tmp_path / "clip.mp4")
    code, _, err = run("--video", "clip.mp4", "--body", "SMPL_NEUTRAL.npz")
    assert code == 2 and "SMPL_NEUTRAL.npz" in one_sentence(err)


def test_a_stream_address_does_not_reach_the_file(run):
    options = program.make_parser().parse_args(["--camera", "rtsp://user:secret@host/stream"])
    places = choose_places(options, None)
    assert places.source_name == "camera stream" and places.output.name == "camera.npz"


def test_run_cli_turns_errors_into_exit_codes(capsys):
    def raising(error):
        def tool(argv):
            raise error

        return tool

    assert run_cli(raising(UserError("A sentence.", exit_code=1))) == 1
    assert run_cli(raising(KeyboardInterrupt())) == 130
    assert run_cli(lambda argv: None) == 0
    assert capsys.readouterr().err == "A sentence.\nInterrupted.\n"
    with pytest.raises(ZeroDivisionError):
        run_cli(raising(ZeroDivisionError()))


def test_tools_table(capsys):
    assert run_cli(tools.main, ["dance"]) == 2 and "dance" in capsys.readouterr().err
    assert run_cli(tools.main, []) == 2 and run_cli(tools.main, ["--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in tools.TOOLS)


@pytest.mark.parametrize("tool", tools.TOOLS)
def test_a_wrong_option_of_any_tool_is_one_sentence(tool, capsys):
    assert run_cli(tools.main, [tool, "somewhere", "--no-such-option"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "--help" in err and "usage" not in err


@pytest.mark.parametrize("when", ["import", "call"])
def test_a_tool_without_its_packages_is_told_in_a_sentence(tmp_path, monkeypatch, when):
    late = "import no_such_package"
    (tmp_path / "lonely_tool.py").write_text(late if when == "import" else f"def main(argv):\n    {late}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "lonely_tool", raising=False)
    monkeypatch.setitem(tools.TOOLS, "lonely", ("lonely_tool", "does nothing"))
    with pytest.raises(UserError, match=r"lonely needs the package no_such_package.*\[train\]"):
        tools.main(["lonely"])


@pytest.mark.parametrize("people", [[], ["--held-out"]])
def test_tools_that_draw_people_say_which_extra_they_need(tmp_path, monkeypatch, people):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs the package moderngl.*\[train\]"):
        tools.main(["synth", "--out", str(tmp_path / "shards"), "--shards", "1", *people])


def test_an_unknown_preset_takes_a_sentence(tmp_path):
    with pytest.raises(UserError, match="invalid choice: 'nonsense'"):
        tools.main(["evaluate", "--preset", "nonsense", "--real", str(tmp_path)])


def command(*arguments, cwd, **options):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


def test_the_real_program_says_its_version_and_its_mistakes(tmp_path):
    result = command(ROOT / "main.py", "--version", cwd=tmp_path)
    assert result.returncode == 0 and result.stdout.startswith("lvd_live ")
    result = command(ROOT / "main.py", "--video", "none.mp4", cwd=tmp_path)
    assert result.returncode == 2 and "none.mp4" in one_sentence(result.stderr) and not result.stdout
    result = command("-m", "lvd_live", "dance", cwd=tmp_path)
    assert result.returncode == 2 and "dance" in one_sentence(result.stderr)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell a process's peak memory this way")
@pytest.mark.slow
def test_a_real_run_stays_under_1500_megabytes(tmp_path):
    if not (MODELS / "weights" / "live.safetensors").exists():
        pytest.skip("the weights are not here")
    # A small process in between: a child starts with the peak of the process that forked it.
    script = """
import resource, subprocess, sys
code = subprocess.run([sys.executable, *sys.argv[1:]], stdout=subprocess.DEVNULL).returncode
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""
    result = command("-c", script, ROOT / "main.py", "--video", DEMO, "--output", "tmp.npz", cwd=tmp_path)
    code, peak = map(int, result.stdout.split())
    assert code == 0 and "Traceback" not in result.stderr, result.stderr
    assert peak < 1.5e9, f"{peak / 1e6:.0f} MB"
    with np.load(tmp_path / "tmp.npz", allow_pickle=False) as file:
        data = dict(file)
    vertices, (width, height) = data["vertices"][data["tracked"]], data["image_size"]
    assert data["tracked"].mean() > 0.8 and np.isfinite(vertices).all() and (vertices[..., 2] > 0).all()
    pixels = vertices @ data["intrinsics"].T
    u, v = pixels[..., 0] / pixels[..., 2], pixels[..., 1] / pixels[..., 2]
    assert ((u > -0.5) & (u < width - 0.5) & (v > -0.5) & (v < height - 0.5)).mean() > 0.9


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals of this kind")
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_leaves_a_whole_file(tmp_path, kind):
    script = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from lvd_live.cli import main_job as program
from lvd_live.errors import run_cli
from tests.fakes import FakeFinder, FakeTracker
class Slow(FakeFinder):
    def find(self, picture):
        time.sleep(0.05)
        print("frame", flush=True)
        return super().find(picture)
program.make_finder = lambda *_, **__: Slow()
program.make_tracker = lambda options: FakeTracker()
sys.exit(run_cli(program.main, ["--video", "clip.mp4"]))
"""
    make_video(tmp_path / "clip.mp4", frames=400)
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for _ in range(5):
        process.stdout.readline()
    time.sleep(0.02)
    process.send_signal(kind)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Interrupted: the first" in err and "Traceback" not in err
    assert 3 <= len(load_sequence(tmp_path / "clip.npz")) < 400 and sorted(os.listdir(tmp_path)) == [
        "clip.mp4",
        "clip.npz",
    ]


def test_a_folder_that_takes_no_files(run, tmp_path):
    if os.name != "posix" or os.geteuid() == 0:
        pytest.skip("everything can be written here by this user")
    make_video(tmp_path / "clip.mp4")
    (tmp_path / "locked").mkdir(mode=0o555)
    code, _, err = run("--video", "clip.mp4", "--output", "locked/out.npz")
    assert code == 2 and "permission denied" in one_sentence(err)
