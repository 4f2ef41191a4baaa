"""Registration from the scan to the files, with a stand-in for the network."""

import csv
import json
import threading

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

import lvd_live.scan.load
from lvd_live.errors import UserError, run_cli
from lvd_live.scan import cli
from lvd_live.scan.folder import SHAPE, TABLE, Job, find_scans, register_all
from lvd_live.scan.output import lines, write_registration
from lvd_live.scan.picture import sheet
from lvd_live.scan.reading import make_scan, read_scan
from lvd_live.scan.registration import Registrar
from lvd_live.scan.starts import Told
from lvd_live.scan.watched import Stopped
from tests.scans import StandIn, person, room, skinned, surface_points


def cloud_of(seed=1, count=8000):
    return surface_points(person(seed)[1].vertices, skinned().faces, count, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def registrar():
    return Registrar(skinned().body, StandIn(person(1)[0]))


@pytest.fixture(scope="module")
def plain(registrar):
    """The fit of person 1 as it stands, in metres."""
    points, normals = cloud_of()
    return registrar(make_scan(points, normals=normals))


def test_a_scan_is_registered(plain):
    _, posed = person(1)
    assert plain.verdict == "explained" and not plain.partial and (plain.unit, plain.up) == ("m", "y")
    assert np.linalg.norm(plain.skinned - posed.vertices, axis=1).mean() < 0.01
    assert plain.from_scan.mean() < 0.0025
    assert any(note.startswith("Up: y") for note in plain.notes)
    assert any(note.startswith("Unit: m") for note in plain.notes)


def test_the_file_s_numbers_give_the_mesh_again(plain):
    betas, pose, trans = (torch.tensor(x[None], dtype=torch.float32) for x in (plain.betas, plain.pose, plain.trans))
    with torch.no_grad():
        vertices, joints = skinned().body(betas, pose, trans)
    np.testing.assert_allclose(plain.scale * vertices[0].numpy(), plain.skinned, atol=1e-5)
    np.testing.assert_allclose(plain.scale * joints[0].numpy(), plain.joints, atol=1e-5)
    assert np.abs(plain.displacements).max() > 1e-4


def test_it_tells_how_far_it_is_and_can_be_stopped(registrar):
    points, normals = cloud_of()
    scan, told, stop = make_scan(points, normals=normals), [], threading.Event()

    def progress(share, doing):
        told.append((share, doing))
        if share > 0.4:
            stop.set()

    with pytest.raises(Stopped):
        registrar(scan, model="smpl", progress=progress, stop=stop)
    shares = [share for share, _ in told]
    assert shares == sorted(shares) and shares[0] == 0 and 0.4 < shares[-1] < 0.5
    assert all(doing for _, doing in told)


def test_the_library_asks_which_hand():
    with pytest.raises(ValueError, match="hand"):
        lvd_live.scan.load.register(np.zeros((10, 3)), hand="both")


@pytest.mark.slow
@pytest.mark.parametrize(("up", "unit", "size"), [("z", "mm", 1000.0), ("-y", "cm", 100.0), ("x", "inch", 1 / 0.0254)])
def test_units_and_axes_change_nothing(registrar, plain, up, unit, size):
    points, normals = cloud_of()
    towards = {"z": [90, 0, 0], "-y": [180, 30, 0], "x": [0, 0, -90]}[up]
    R = Rotation.from_euler("xyz", towards, degrees=True).as_matrix()
    origin = size * np.array([3.0, -1, 2])
    fit = registrar(make_scan(size * points @ R.T + origin, normals=normals @ R.T))
    assert (fit.unit, fit.up) == (unit, up)
    back = (fit.vertices - origin) @ R / size
    assert np.linalg.norm(back - plain.vertices, axis=1).mean() < 0.005


@pytest.mark.slow
def test_a_size_without_a_unit_is_fitted(registrar, plain):
    points, normals = cloud_of()
    fit = registrar(make_scan(7 * points, normals=normals))
    assert fit.unit == "unknown" and fit.explained
    assert np.linalg.norm(fit.vertices / 7 - plain.vertices, axis=1).mean() < 0.01


@pytest.mark.slow
def test_what_the_user_says_is_not_sought(plain):
    points, normals = cloud_of()
    descent = StandIn(person(1)[0])
    fit = Registrar(skinned().body, descent)(make_scan(points, normals=normals), Told(unit="m", up="y"), model="smpl")
    assert descent.calls == 4  # the turned copies alone
    assert not fit.displacements.any() and not any(note.startswith(("Up", "Unit")) for note in fit.notes)
    assert np.linalg.norm(fit.skinned - plain.skinned, axis=1).mean() < 0.003


@pytest.mark.slow
def test_one_side_is_noticed(registrar):
    points, normals = cloud_of(count=16_000)
    seen = normals[:, 2] > 0.15
    fit = registrar(make_scan(points[seen], normals=normals[seen]), model="smpl")
    assert fit.partial and any("one side" in note for note in fit.notes)
    assert lines(fit)[-1].endswith("The scan is explained, one side seen.")
    assert np.linalg.norm(fit.skinned - person(1)[1].vertices, axis=1).mean() < 0.04


@pytest.mark.slow
def test_a_room_is_cut_away(registrar, plain):
    points, _ = cloud_of()
    everything, true = room(points, np.random.default_rng(0))
    fit = registrar(make_scan(everything), model="smpl")
    assert len(fit.points) < 1.02 * true.sum()
    assert np.linalg.norm(fit.skinned - plain.skinned, axis=1).mean() < 0.02


@pytest.mark.slow
def test_a_sequence_starts_from_the_scan_before(plain):
    points, normals = cloud_of()
    descent = StandIn(person(1)[0])
    registrar = Registrar(skinned().body, descent)
    R = Rotation.from_rotvec([0, 0.1, 0]).as_matrix()
    moved = (points + [0.05, 0, 0.1]) @ R.T
    fit = registrar(make_scan(moved, normals=normals @ R.T), before=plain, model="smpl")
    assert descent.calls == 0 and fit.explained
    back = fit.skinned @ R - [0.05, 0, 0.1]
    assert np.linalg.norm(back - person(1)[1].vertices, axis=1).mean() < 0.012


def chair():
    boxes = [((0.5, 0.05, 0.5), (0, 0.45, 0)), ((0.5, 0.6, 0.05), (0, 0.8, -0.22))]
    boxes += [((0.05, 0.45, 0.05), (x, 0.22, z)) for x in (-0.2, 0.2) for z in (-0.2, 0.2)]
    made = [trimesh.creation.box(size, trimesh.transformations.translation_matrix(at)) for size, at in boxes]
    return trimesh.util.concatenate(made)


@pytest.fixture
def tool(monkeypatch, registrar, tmp_path):
    """The command line with the stand-in, in an empty folder."""
    monkeypatch.setattr(lvd_live.scan.load, "load_registrar", lambda body, weights: registrar)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        return run_cli(cli.main, [str(argument) for argument in arguments])

    return run


@pytest.mark.slow
def test_the_tool(tool, tmp_path, capsys):
    _, posed = person(1)
    trimesh.Trimesh(1000 * posed.vertices, skinned().faces, process=False).export("scan.ply")
    assert tool("scan.ply", "--to", "fit.npz", "--picture", "sheet.png") == 0
    said = capsys.readouterr().err
    assert "Unit: mm" in said and "Distances:" in said
    with np.load(tmp_path / "fit.npz", allow_pickle=False) as file:
        meta = json.loads(str(file["meta"]))
        assert {"vertices", "faces", "pose", "betas", "trans", "scale", "displacements", "std", "distance"} <= set(file)
        assert np.linalg.norm(file["vertices"] - 1000 * posed.vertices, axis=1).mean() < 10
    assert meta["explained"] and meta["unit"] == "mm" and meta["notes"]
    assert (tmp_path / "sheet.png").stat().st_size > 10_000


@pytest.mark.slow
def test_a_chair_is_nobody(tool, tmp_path, capsys):
    chair().export("chair.obj")
    assert tool("chair.obj", "--to", "fit.obj") == 1
    assert "does not explain" in capsys.readouterr().err and not (tmp_path / "fit.obj").exists()
    assert tool("chair.obj", "--to", "fit.obj", "--force") == 0
    assert (tmp_path / "fit.obj").exists()


def test_meshes_are_written_as_they_lie(plain, tmp_path):
    for suffix in (".obj", ".ply", ".glb"):
        write_registration(plain, tmp_path / f"fit{suffix}")
        scan = read_scan(tmp_path / f"fit{suffix}")
        np.testing.assert_allclose(scan.points[scan.faces], plain.vertices[plain.faces], atol=1e-4)


def test_the_sheet_shows_scan_fit_and_distance(plain):
    picture = sheet(plain)
    rows = np.array_split(picture.astype(int), 3)
    assert all((row.max(2) > 80).mean() > 0.05 for row in rows)
    colourful = [(row.max(2) - row.min(2) > 60).mean() for row in rows]
    assert colourful[0] < 0.01 < colourful[2]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("a.ply",), "Where is the fit to go"),
        (("a.ply", "--to", "fit.stl"), "must end in"),
        (("a.ply", "b.ply", "--to", "fit.obj"), "--out"),
        (("a.ply", "--to", "fit.obj"), "There is no scan a.ply"),
        (("a.ply", "--out", "fits", "--to", "fit.obj"), "for one scan"),
        ((".", "--out", "fits"), "no scans in"),
        (("a.ply", "--to", "fit.obj", "--up", "w"), "invalid choice"),
    ],
)
def test_mistakes_get_a_sentence(tool, capsys, arguments, why):
    assert tool(*arguments) == 2
    assert why in capsys.readouterr().err


def test_scans_are_taken_as_people_count(tmp_path):
    for name in ("scan10.ply", "scan2.ply", "notes.md"):
        (tmp_path / name).touch()
    assert [path.name for path in find_scans(tmp_path)] == ["scan2.ply", "scan10.ply"]
    with pytest.raises(UserError, match="no scans"):
        find_scans(tmp_path.parent / tmp_path.name / "..")


@pytest.mark.slow
def test_a_folder_is_resumed_and_shares_the_shape(registrar, tmp_path):
    points, normals = cloud_of()
    scans = tmp_path / "scans"
    scans.mkdir()
    for number in (1, 2):
        np.savez(scans / f"s{number}.npz", points=points[number::2], normals=normals[number::2])
    (scans / "s3.xyz").write_text("1 2 3\n")
    job, done = Job(Told(unit="m", up="y"), "smpl", same_person=True), []
    out = tmp_path / "out"
    out.mkdir()
    rows = register_all(find_scans(scans), out, registrar, job, lambda: done.append(1))
    assert [bool(row.get("problem")) for row in rows] == [False, False, True] and len(done) == 3
    shapes = [np.load(out / f"s{n}.npz")["betas"] for n in (1, 2)]
    np.testing.assert_allclose(shapes[0], shapes[1])
    assert (out / SHAPE).exists()
    with open(out / TABLE) as file:
        table = list(csv.DictReader(file))
    assert [row["scan"] for row in table] == ["s1.npz", "s2.npz", "s3.xyz"] and "one point" in table[2]["problem"]
    stamp = (out / "s1.npz").stat().st_mtime_ns
    (out / "s2.npz").unlink()
    again = register_all(find_scans(scans), out, registrar, job)
    assert (out / "s1.npz").stat().st_mtime_ns == stamp and (out / "s2.npz").exists()
    assert again[0]["scan_to_fit_mm"] == rows[0]["scan_to_fit_mm"]


@pytest.mark.slow
def test_a_bust_seen_from_one_side(registrar):
    points, normals = cloud_of(count=40_000)
    head = points[:, 1].max()
    seen = (points[:, 1] > head - 0.45) & (normals[:, 2] > 0.2) & (np.abs(points[:, 0]) < 0.3)
    bust = points[seen] * [1, -1, -1]  # as a depth camera has its axes
    fit = registrar(make_scan(bust))
    assert fit.explained and fit.up == "-y" and any("upper body" in note for note in fit.notes)
    assert fit.from_scan.mean() < 0.004
    shown = skinned().template[:, 1] > skinned().template[:, 1].max() - 0.25
    off = np.linalg.norm(fit.skinned * [1, -1, -1] - person(1)[1].vertices, axis=1)
    assert off[shown].mean() < 0.05
