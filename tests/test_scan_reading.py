"""Scans as files: every format, and a sentence for what is none."""

import struct

import numpy as np
import pytest
import trimesh

from lvd_live.errors import UserError
from lvd_live.scan.pcd import decompress_lzf, read_pcd
from lvd_live.scan.reading import SUFFIXES, make_scan, read_scan

BALL = trimesh.creation.icosphere(3)


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".stl", ".glb", ".off"])
def test_meshes(tmp_path, suffix):
    path = tmp_path / f"ball{suffix}"
    BALL.export(path)
    scan = read_scan(path)
    assert len(scan.faces) == len(BALL.faces)
    np.testing.assert_allclose(scan.points[scan.faces], BALL.triangles, atol=1e-5)


@pytest.mark.parametrize("suffix", [".ply", ".glb", ".xyz"])
def test_bare_points(tmp_path, suffix):
    path = tmp_path / f"points{suffix}"
    trimesh.PointCloud(BALL.vertices).export(path)
    scan = read_scan(path)
    assert scan.faces is None
    np.testing.assert_allclose(scan.points, BALL.vertices, atol=1e-5)


def test_an_obj_without_faces(tmp_path):
    path = tmp_path / "points.obj"
    path.write_text("".join("v {:.6f} {:.6f} {:.6f}\n".format(*v) for v in BALL.vertices))
    np.testing.assert_allclose(read_scan(path).points, BALL.vertices, atol=1e-5)


def test_text_with_a_header_commas_and_normals(tmp_path):
    path = tmp_path / "points.csv"
    rows = "".join(",".join(f"{x:.6f}" for x in (*v, *v)) + "\n" for v in BALL.vertices)  # a unit ball's normals
    path.write_text("x,y,z,nx,ny,nz\n" + rows)
    scan = read_scan(path)
    np.testing.assert_allclose(scan.points, BALL.vertices, atol=1e-5)
    np.testing.assert_allclose(scan.normals, BALL.vertices, atol=1e-5)


def test_six_columns_of_colours_are_no_normals(tmp_path):
    path = tmp_path / "points.xyz"
    np.savetxt(path, np.column_stack([BALL.vertices, np.full((len(BALL.vertices), 3), 200.0)]))
    assert read_scan(path).normals is None


def test_npz(tmp_path):
    np.savez(tmp_path / "a.npz", vertices=BALL.vertices, faces=BALL.faces)
    assert len(read_scan(tmp_path / "a.npz").faces) == len(BALL.faces)
    np.savez(tmp_path / "b.npz", other=BALL.vertices)
    with pytest.raises(UserError, match="no array named"):
        read_scan(tmp_path / "b.npz")


HEADER = (
    "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F U\nCOUNT 1 1 1 1\n"
    "WIDTH {n}\nHEIGHT 1\nPOINTS {n}\nDATA {data}\n"
)


def literal_lzf(data):
    """LZF that says everything in full."""
    pieces = (data[i : i + 32] for i in range(0, len(data), 32))
    return b"".join(bytes([len(piece) - 1]) + piece for piece in pieces)


@pytest.mark.parametrize("data", ["ascii", "binary", "binary_compressed"])
def test_pcd(tmp_path, data):
    points = BALL.vertices.astype(np.float32)
    n = len(points)
    head = HEADER.format(n=n, data=data).encode()
    if data == "ascii":
        body = "".join("{:.7g} {:.7g} {:.7g} 7\n".format(*p) for p in points).encode()
    elif data == "binary":
        body = b"".join(p.tobytes() + struct.pack("<I", 7) for p in points)
    else:
        columns = points.T.tobytes() + struct.pack("<I", 7) * n
        packed = literal_lzf(columns)
        body = struct.pack("<2I", len(packed), len(columns)) + packed
    path = tmp_path / "a.pcd"
    path.write_bytes(head + body)
    np.testing.assert_allclose(read_pcd(path)[0], points, atol=1e-6)
    if data != "ascii":
        path.write_bytes((head + body)[:-50])
        with pytest.raises(UserError, match="cannot be read"):
            read_scan(path)


def test_lzf_copies_from_behind_and_over_itself():
    assert decompress_lzf(b"\x02abc\x20\x02", 6) == b"abcabc"  # 3 bytes from 3 back
    assert decompress_lzf(b"\x00x" + bytes([7 << 5, 3, 0]), 13) == b"x" * 13  # 12 bytes from 1 back
    with pytest.raises(ValueError, match="damaged"):
        decompress_lzf(b"\x02abc\x20\x09", 6)


def test_points_that_are_no_numbers_are_dropped_and_faces_follow():
    points = BALL.vertices.copy()
    points[5] = np.nan
    scan = make_scan(points, BALL.faces)
    assert scan.dropped == 1 and len(scan.points) == len(points) - 1
    kept = BALL.faces[(BALL.faces != 5).all(1)]
    np.testing.assert_allclose(scan.points[scan.faces], points[kept])


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("a.ply", b"", "is empty"),
        ("a.ply", b"ply\nformat ascii 1.0\nend_header\n", "cannot be read"),
        ("a.ply", b"hello", r"\(\.ply\): [^.!]+\.$"),
        ("a.obj", b"hello", "no vertices"),
        ("a.xyz", b"1 2 3\n", "one point"),
        ("a.xyz", b"nan nan nan\n" * 300, "no points .300 more are no numbers"),
        ("a.xyz", b"1 2 3\n" * 300, "in one place"),
        ("a.pcd", b"nothing", "no DATA line"),
        ("a.npz", b"PK", "not a whole .npz"),
        ("a.stl", b"solid", "cannot be read"),
        ("a.glb", b"glTF", "cannot be read"),
        ("a.jpg", b"x", "must end in"),
    ],
)
def test_what_is_no_scan_gets_a_sentence(tmp_path, name, data, why):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=why) as raised:
        read_scan(tmp_path / name)
    assert "\n" not in str(raised.value) and name in str(raised.value)


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(UserError, match="There is no scan"):
        read_scan(tmp_path / "none.ply")
    (tmp_path / "a.ply").mkdir()
    with pytest.raises(UserError, match="folder"):
        read_scan(tmp_path / "a.ply")
    assert ".ply" in SUFFIXES


def test_the_kinect_cloud(shared):
    scan = read_scan(shared / "eval" / "scans" / "PCL__person.pcd")
    assert len(scan.points) == 242_749 and scan.dropped == 307_200 - 242_749


@pytest.mark.filterwarnings("error")
def test_a_text_without_numbers_is_one_sentence(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("hello\n")
    with pytest.raises(UserError, match="its lines do not hold three numbers"):
        read_scan(path)
