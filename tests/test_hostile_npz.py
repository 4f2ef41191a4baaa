"""Files from anyone: each of these must be refused in one sentence, quickly, without running or unpacking anything."""

import io
import json
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from lvd_live.errors import UserError
from lvd_live.session.sequence import load_sequence
from lvd_live.storage.safe_npz import SafeNpz, Spec

F, N, M = 4, 6, 2


def good():
    return {
        "lvd_schema": np.int32(1),
        "vertices": np.ones((F, N, 3), np.float32),
        "vertex_std": np.zeros((F, N), np.float32),
        "faces": np.array([[0, 1, 2], [3, 4, 5]], np.int32),
        "tracked": np.ones(F, bool),
        "timestamps_ns": np.arange(F),
        "frame_index": np.arange(F),
        "iterations": np.full(F, 2, np.int32),
        "intrinsics": np.eye(3),
        "image_size": np.array([64, 48], np.int32),
        "landmarks": np.zeros((F, 33, 3), np.float32),
        "fps": np.float64(30),
        "meta": np.array("{}"),
    }


class Evil:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was run",))


def npy(array, **options):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asanyarray(array), **options)
    return buffer.getvalue()


def lying_header(text, data=b""):
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + text.encode().ljust(117) + b"\n" + data


def header(shape, descr="<f4", data=b"\0" * 16):
    return lying_header(repr({"descr": descr, "fortran_order": False, "shape": shape}), data)


def archive(path, arrays=None, raw=None, compression=zipfile.ZIP_STORED):
    """An npz of `arrays`, in which `raw` replaces or adds members byte by byte (None drops one)."""
    arrays = good() if arrays is None else arrays
    members = {f"{name}.npy": npy(array) for name, array in arrays.items()} | (raw or {})
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in members.items():
            if data is not None:
                file.writestr(name, data)
    return path


def changed(**arrays):
    return lambda path: archive(path, good() | arrays)


def raw(**members):
    return lambda path: archive(path, raw={f"{name}.npy": data for name, data in members.items()})


def named(name):
    return lambda path: archive(path, raw={name: npy(np.zeros(2))})


def cut(share):
    def make(path):
        data = archive(path).read_bytes()
        path.write_bytes(data[: int(len(data) * share)])

    return make


def damaged_data(path):
    data = bytearray(archive(path).read_bytes())
    place = data.find(np.ones(9, np.float32).tobytes())
    data[place + 2] ^= 1
    path.write_bytes(data)


def bomb(path):
    archive(path, good() | {"vertices": np.zeros((4000, 5000, 3), np.float32)}, compression=zipfile.ZIP_DEFLATED)


def declared_size(path):
    """The directory claims 72 TiB for vertices, stored, in a file of a few kB."""
    data = bytearray(archive(path).read_bytes())
    place = data.rfind(b"vertices.npy") - 46
    data[place + 20 : place + 28] = struct.pack("<2I", 0xFFFFFFF0, 0xFFFFFFF0)
    path.write_bytes(data)


def twice(path):
    with zipfile.ZipFile(archive(path), "a") as file, pytest.warns(UserWarning):
        file.writestr("faces.npy", npy(good()["faces"]))


def many(path):
    archive(path, raw={f"a{number}.npy": b"" for number in range(300)})


def bzip(path):
    archive(path, compression=zipfile.ZIP_BZIP2)


def pickled(path):
    archive(path, raw={"meta.npy": npy(np.array(Evil(), object), allow_pickle=True)})


def nested(path):
    archive(path, raw={"faces.npy": lying_header("(" * 100)})


HOSTILE = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("hello"),
    "a bare npy": lambda path: path.write_bytes(npy(np.zeros(3))),
    "an empty zip": lambda path: archive(path, arrays={}),
    "cut at 99 %": cut(0.99),
    "cut at half": cut(0.5),
    "a zip of no arrays": lambda path: archive(path, arrays={}, raw={"readme.txt": b"hi"}),
    "no vertices": raw(vertices=None),
    "no schema": raw(lvd_schema=None),
    "a newer schema": changed(lvd_schema=np.int32(99)),
    "a schema in words": changed(lvd_schema=np.array("one")),
    "a pickle": pickled,
    "an object header": raw(meta=header((1,), "|O")),
    "a structured type": raw(tracked=header((4,), [("a", "<f4")])),
    "big endian": changed(vertices=np.ones((F, N, 3), ">f4")),
    "doubles": changed(vertices=np.ones((F, N, 3))),
    "complex numbers": changed(vertices=np.ones((F, N, 3), np.complex64)),
    "column by column": changed(vertices=np.asfortranarray(np.random.rand(F, N, 3).astype(np.float32))),
    "wrong number of frames": changed(tracked=np.ones(F + 1, bool)),
    "wrong number of vertices": changed(vertex_std=np.zeros((F, N + 1), np.float32)),
    "vertices in 2D": changed(vertices=np.ones((F, N, 2), np.float32)),
    "flat vertices": changed(vertices=np.ones(F * N * 3, np.float32)),
    "32 landmarks": changed(landmarks=np.zeros((F, 32, 3), np.float32)),
    "4x4 intrinsics": changed(intrinsics=np.eye(4)),
    "quads": changed(faces=np.zeros((M, 4), np.int32)),
    "a face beyond the vertices": changed(faces=np.array([[0, 1, N]], np.int32)),
    "a negative face": changed(faces=np.array([[0, 1, -1]], np.int32)),
    "NaN in the vertices": changed(vertices=np.full((F, N, 3), np.nan, np.float32)),
    "infinite spread": changed(vertex_std=np.full((F, N), np.inf, np.float32)),
    "NaN in the landmarks": changed(landmarks=np.full((F, 33, 3), np.nan, np.float32)),
    "NaN in the intrinsics": changed(intrinsics=np.full((3, 3), np.nan)),
    "an infinite fps": changed(fps=np.float64(np.inf)),
    "meta that is no JSON": changed(meta=np.array("{oops")),
    "meta that is a list": changed(meta=np.array("[1]")),
    "meta nested 50000 deep": changed(meta=np.array("[" * 50_000)),
    "meta of no length": raw(meta=header((), "<U0", b"")),
    "meta with impossible characters": raw(meta=header((), "<U4", b"\xff" * 16)),
    "a header that claims 72 TiB": raw(vertices=header((F, 6_600_000_000_000, 3))),
    "a header beyond 64 bits": raw(vertices=header((F, 10**30, 3))),
    "a negative size": raw(vertices=header((F, -6, 3))),
    "a header longer than the data": raw(vertices=b"\x93NUMPY\x01\x00\xff\xff{}"),
    "a header of 2 GiB": raw(vertices=b"\x93NUMPY\x02\x00" + struct.pack("<I", 1 << 31) + b"{}"),
    "a header that is code": raw(vertices=lying_header("__import__('os').abort()")),
    "a header of brackets": nested,
    "a header without a shape": raw(vertices=lying_header("{'descr': '<f4', 'fortran_order': False}")),
    "a shape of texts": raw(vertices=header(("a", "b", 3))),
    "no magic": raw(vertices=b"x" * 200),
    "an unknown version": raw(vertices=b"\x93NUMPY\x09\x00" + b"x" * 200),
    "an empty member": raw(vertices=b""),
    "too little data": raw(vertices=header((F, N, 3))),
    "a name with a path": named("../../evil.npy"),
    "an absolute name": named("/etc/evil.npy"),
    "a name with a backslash": named("a\\evil.npy"),
    "a name with another ending": named("evil.pkl"),
    "a bomb": bomb,
    "a declared size it does not have": declared_size,
    "flipped bits": damaged_data,
    "an array twice": twice,
    "300 members": many,
    "another compression": bzip,
    "a folder": lambda path: path.mkdir(),
    "nothing there": lambda path: None,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file_is_refused_in_one_sentence(tmp_path, name):
    path = tmp_path / "file.npz"
    HOSTILE[name](path)
    tracemalloc.start()
    try:
        with pytest.raises(UserError) as caught:
            load_sequence(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".") and str(path) in message and caught.value.exit_code == 2
    assert peak < 40e6


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_the_good_file_is_read_stored_or_compressed(tmp_path, compression):
    path = archive(tmp_path / "file.npz", good() | {"lvd_future": np.zeros(3)}, compression=compression)
    sequence = load_sequence(path)
    assert len(sequence) == F and (sequence.vertices == 1).all() and sequence.tracked.dtype == bool
    assert json.dumps(dict(sequence.meta)) == "{}"


def test_a_bool_of_other_bytes_reads_as_a_bool(tmp_path):
    data = header((F,), "|b1", b"\x00\x01\x02\xff")
    sequence = load_sequence(archive(tmp_path / "file.npz", raw={"tracked.npy": data}))
    assert sequence.tracked.view(np.uint8).tolist() == [0, 1, 1, 1]


def test_a_parser_that_another_thread_disturbed_is_asked_again(tmp_path, monkeypatch):
    """CPython 3.11 raises SystemError where several threads parse at once (gh-106905): the file is whole."""
    np.savez(tmp_path / "whole.npz", a=np.arange(3))
    parse, failures = np.lib.format.read_array_header_1_0, iter([True, True, False])

    def disturbed(*args, **named):
        if next(failures):
            raise SystemError("AST constructor recursion depth mismatch")
        return parse(*args, **named)

    monkeypatch.setattr(np.lib.format, "read_array_header_1_0", disturbed)
    with SafeNpz(tmp_path / "whole.npz", {"a": Spec("i8", ((3,),))}) as file:
        assert file.read("a").tolist() == [0, 1, 2]
