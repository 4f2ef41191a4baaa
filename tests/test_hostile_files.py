"""Files of a stranger: whatever stands in them, they are read or refused in a sentence, in bounded time and memory."""

from __future__ import annotations

import os
import pickle
import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest

from lvd_live.body.model import BodyModel
from lvd_live.errors import UserError
from lvd_live.lift.lifter import Lifter
from lvd_live.lvd.weights import load_network
from lvd_live.paths import MODELS
from lvd_live.session.reader import open_session
from lvd_live.session.recover import recover
from lvd_live.session.sequence import load_sequence
from lvd_live.sources import VideoSource
from lvd_live.sources.images import ImageSource, read_picture
from tests import bend, hostile
from tests.films import film, needs_ffmpeg
from tests.hostile_kinds import small_body
from tests.recording import record
from tests.test_kinds import write_heic

SHARE = 25  # one of so many parts of the 10,000 is read each day


@pytest.mark.slow
@needs_ffmpeg
@pytest.mark.parametrize("kind", hostile.COUNTS)
def test_hostile_files_are_read_or_refused(kind):
    """Another part each day, in bounded time; all 10,000 with LVD_HOSTILE=all, which takes half an hour."""
    everything = os.environ.get("LVD_HOSTILE") == "all"
    count = hostile.COUNTS[kind] if everything else hostile.COUNTS[kind] // SHARE
    first = 0 if everything else int(time.time() // 86_400) % SHARE * count
    counts, faults = hostile.run(kind, first, count, seconds=1200 if everything else 25)
    assert not faults and counts["wrong"] == 0
    assert counts.total() == count or (counts.total() >= 5 and not everything)  # a slow machine reads fewer
    assert counts["read"] + counts["refused"] == counts.total()


def opcodes(*parts):
    return b"\x80\x02" + b"".join(parts) + b"."


def called(module, name, *arguments):
    """A pickle of protocol 2 that calls something."""
    return opcodes(f"c{module}\n{name}\n".encode(), b"(", *(pickle.dumps(a, 2)[2:-1] for a in arguments), b"tR")


BOMBS = {
    "a table of 2^30 numbers": opcodes(b"}", b"r" + struct.pack("<I", 1 << 28)),
    "an array that is made": opcodes(b"}", called("numpy", "ndarray", (1 << 28,))[2:-1], b"X\1\0\0\0as"),
    "an array without data": opcodes(
        b"}X\x0a\0\0\0v_template",
        called("numpy.core.multiarray", "_reconstruct", 0, (0,), "b")[2:-1],
        pickle.dumps((1, (1 << 40,), None, False, b""), 2)[2:-1],
        b"bs",
    ),
    "lists of lists": opcodes(
        b"}X\x0a\0\0\0v_template", b"]q\0(" + b"K\0" * 10 + b"e", *[b"]q\1(" + b"h\0" * 10 + b"eq\0"] * 9, b"s"
    ),
    "very many objects": opcodes(b"(" + b"}" * 120_000 + b"t"),
    "text of 2^62 bytes": opcodes(b"\x8d" + struct.pack("<Q", 1 << 62)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_pickle_takes_no_more_memory_than_it_has_bytes_for(tmp_path, name):
    path = tmp_path / "body.pkl"
    path.write_bytes(BOMBS[name])
    tracemalloc.start()
    try:
        with pytest.raises(UserError) as caught:
            BodyModel.load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20e6 and "\n" not in str(caught.value)


def test_a_sparse_matrix_is_no_larger_than_a_body(tmp_path):
    import scipy.sparse

    empty = scipy.sparse.csc_matrix((1 << 14, 1 << 14))
    (tmp_path / "body.pkl").write_bytes(pickle.dumps(small_body() | {"J_regressor": empty}, 2))
    with pytest.raises(UserError, match="larger inside than any body"):
        BodyModel.load(tmp_path / "body.pkl")


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("order", ["C", "F"])
def test_pickles_of_every_protocol_are_read(tmp_path, protocol, order):
    arrays = small_body() | {"landmarks": np.full((33, 48), 1 / 48)}
    arrays["shapedirs"] = np.asarray(arrays["shapedirs"], ">f4", order)
    (tmp_path / "body.pkl").write_bytes(pickle.dumps(arrays, protocol))
    body = BodyModel.load(tmp_path / "body.pkl")
    np.testing.assert_allclose(body.shapedirs.numpy(), arrays["shapedirs"], rtol=1e-6)
    np.testing.assert_allclose(body.v_template.numpy(), arrays["v_template"], rtol=1e-6)


def test_a_body_without_a_head_takes_a_sentence(tmp_path):
    np.savez(tmp_path / "body.npz", **small_body())
    with pytest.raises(UserError, match="not a person's"):
        BodyModel.load(tmp_path / "body.npz")
    for name, wrong in (("posedirs", np.zeros((48, 3, 200))), ("part_labels", np.zeros(7)), ("landmarks", np.ones(5))):
        np.savez(tmp_path / "body.npz", **small_body() | {name: wrong})
        with pytest.raises(UserError, match="disagree"):
            BodyModel.load(tmp_path / "body.npz")


def png_of(width, height):
    """A PNG that states a size and has no pixels."""
    parts = (b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")
    packed = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def test_a_picture_that_states_an_enormous_size(tmp_path, caplog):
    (tmp_path / "a.png").write_bytes(png_of(20_000, 20_000))
    before = hostile._peak()
    assert read_picture(tmp_path / "a.png") is None
    assert hostile._peak() - before < 200 << 20 and "more pixels than are read" in caplog.text
    with pytest.raises(UserError):
        list(ImageSource(tmp_path))


@needs_ffmpeg
def test_a_film_that_states_an_enormous_size(tmp_path):
    path = film(tmp_path / "a.mov", "-c:v", "qtrle", seconds=0.3)
    data = bytearray(path.read_bytes())
    place = data.index(b"rle ", data.index(b"stsd"))
    data[place + 28 : place + 32] = struct.pack(">2H", 23_199, 8_546)
    path.write_bytes(data)
    before = hostile._peak()
    with pytest.raises(UserError, match="larger than 100 megapixels"):
        list(VideoSource(path))
    assert hostile._peak() - before < 300 << 20


def test_a_grey_heic_is_read(tmp_path):
    image = pytest.importorskip("PIL.Image", reason="pillow is not installed")
    write_heic(tmp_path / "colour.heic")  # registers the format
    grey = np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))
    image.fromarray(grey).save(tmp_path / "grey.heic", format="HEIF", quality=95)
    picture = read_picture(tmp_path / "grey.heic")
    assert picture.shape == (48, 64, 3) and np.abs(picture.astype(int) - grey[..., None]).max() < 8
    alpha = np.dstack([grey, np.full_like(grey, 255)])
    image.fromarray(alpha, "LA").save(tmp_path / "alpha.heic", format="HEIF", quality=95)
    assert read_picture(tmp_path / "alpha.heic").shape == (48, 64, 3)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, read in (("a.npz", load_sequence), ("a.npz", BodyModel.load), ("a.pkl", BodyModel.load)):
        (tmp_path / name).unlink(missing_ok=True)
        (tmp_path / name).symlink_to(tmp_path / "pipe")
        with pytest.raises(UserError):
            read(tmp_path / name)
    for read in (load_network, Lifter.load):
        with pytest.raises(UserError):
            read(tmp_path / "pipe")
    session = record(tmp_path, count=10).path
    (session / "video.mkv").unlink()
    os.mkfifo(session / "video.mkv")
    with pytest.raises(UserError, match="no matroska video"):
        list(open_session(session).frames())
    assert any("No picture" in sentence for sentence in recover(session).lost)


def about_weights(path, **changes):
    """The lifter's or network's file with other values in its header."""
    import json

    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] |= changes
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


ABOUT = [
    "[1]",
    '{"calibration": {"std": [1], "error": []}}',
    '{"calibration": 3}',
    "[" * 100_000,
    '{"calibration": {}}',
]


@pytest.mark.parametrize("about", ABOUT)
def test_weights_that_say_nonsense_of_themselves(tmp_path, about):
    (tmp_path / "a.safetensors").write_bytes(about_weights(MODELS / "weights" / "live.safetensors", about=about))
    with pytest.raises(UserError, match="nothing readable about itself"):
        load_network(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    "width, blocks", [("100000", "4"), ("512", "1000000000"), ("-1", "4"), ("1e9", "2"), ("9" * 30, "1")]
)
def test_a_lifter_that_states_an_enormous_size(tmp_path, width, blocks):
    shipped = MODELS / "lift" / "lifter.safetensors"
    (tmp_path / "a.safetensors").write_bytes(about_weights(shipped, width=width, blocks=blocks))
    before = hostile._peak()
    with pytest.raises(UserError) as caught:
        Lifter.load(tmp_path / "a.safetensors")
    assert "\n" not in str(caught.value) and hostile._peak() - before < 100 << 20


def test_a_segment_that_states_an_enormous_row(tmp_path):
    session = record(tmp_path, count=40).path
    path = sorted((session / "motion").iterdir())[-1]
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file}
    for row, is_read in ((2**62, False), (2**31 - 1, True)):
        np.savez(path, **arrays | {"row": np.int64(row)})
        if is_read:
            assert open_session(session).missed.max() > 2**30
        else:
            with pytest.raises(UserError, match="recover"):
                open_session(session)


def test_a_sentence_commands_no_terminal(tmp_path):
    with pytest.raises(UserError) as caught:
        load_sequence(tmp_path / "a\x1b[2J\nb.npz")
    assert r"a\x1b[2J\nb.npz" in str(caught.value)


def test_the_hostile_files_are_the_same_each_time():
    assert bend.bend_npz(small_body(), hostile.Random("x 1")) == bend.bend_npz(small_body(), hostile.Random("x 1"))
    assert sum(hostile.COUNTS.values()) == 10_000 and hostile.COUNTS["video"] >= 1000
