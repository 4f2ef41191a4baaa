"""Exports, each read back by a reader that is not ours, its joints compared with those of the exported person."""

import csv
import json

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

from lvd_live import export as exports
from lvd_live.body.correspondence import Correspondence
from lvd_live.body.skeleton import JOINT, JOINT_NAMES
from lvd_live.cli.tools import main as tool
from lvd_live.errors import UserError
from lvd_live.export import FORMATS, export
from lvd_live.export.feet import planted
from lvd_live.export.mesh_frames import meshes
from lvd_live.export.motion import BodyMotion
from lvd_live.export.options import UP, ExportOptions
from lvd_live.export.take import Take
from lvd_live.paths import MODELS
from lvd_live.session.library import list_sessions, rename
from lvd_live.session.measured import measure_session
from lvd_live.session.recorder import Recorder
from lvd_live.session.recover import recover
from lvd_live.session.sequence import SequenceWriter
from lvd_live.sources import Frame
from tests.bodies import match, other_arrays
from tests.fakes import fake_fit, fake_person
from tests.test_body import SMPLX_VERTICES

FPS, FRAMES = 30, 12
CAMERA = np.diag([1.0, -1.0, -1.0])


def perform(body, times, seed=0):
    """A person who turns, walks and waves before a camera, smoothly: vertices (F, N, 3) and joints (F, 24, 3).

    Metres, camera frame.
    """
    rng = np.random.default_rng(seed)
    phase, size = rng.uniform(0, 6, (24, 3)), rng.uniform(0.05, 0.35, (24, 3))
    pose = size * np.sin(2.0 * times[:, None, None] + phase)
    pose[:, 0] = [[0.1 * np.sin(t), 2 * t, 0.05] for t in times]
    pose[:, 18, 1] -= 1.0 + times
    transl = np.stack([0.4 * times, 0.05 * np.sin(5 * times), -3 - 0.3 * times], 1)
    betas = torch.from_numpy(rng.normal(0, 0.7, 20).astype(np.float32))[None].expand(len(times), -1)
    with torch.no_grad():
        v, j = body(betas, torch.from_numpy(pose.astype(np.float32)), torch.from_numpy(transl.astype(np.float32)))
    return v.numpy() @ CAMERA.astype(np.float32), j.numpy() @ CAMERA


def write_take(path, body, vertices, times, fps, tracked=None, meta=None, faces=None):
    writer = SequenceWriter(path, body.faces.numpy() if faces is None else faces, vertices.shape[1], meta or {}, fps)
    for number, (mesh, t) in enumerate(zip(vertices, times, strict=True)):
        common = {"timestamp_ns": 7_000_000_000 + round(t * 1e9), "frame_index": number, "image_size": (640, 480)}
        if tracked is None or tracked[number]:
            std = np.linspace(0.01, 0.12, len(mesh), dtype=np.float32)
            writer.append(
                vertices=mesh.astype(np.float32),
                vertex_std=std,
                intrinsics=np.array([[500, 0, 320], [0, 500, 240], [0, 0, 1.0]]),
                iterations=2,
                **common,
            )
        else:
            writer.append(**common)
    writer.close()
    return path


@pytest.fixture(scope="module")
def take(tmp_path_factory, body):
    """A source of FRAMES frames at FPS, and its true vertices and joints in the camera frame."""
    times = np.arange(FRAMES) / FPS
    vertices, joints = perform(body, times)
    path = write_take(tmp_path_factory.mktemp("take") / "walk.npz", body, vertices, times, FPS)
    return Take.open(path), vertices, joints


def truth(joints, up="y", unit=1.0):
    return joints @ UP[up].T * unit


def assert_same(found, expected, unit=1.0):
    assert found.shape == expected.shape
    assert np.linalg.norm(found - expected, axis=-1).max() < 0.001 * unit


def test_npz_as_amass_readers_see_it(take, body, tmp_path):
    """What SMPL's readers need, no object arrays, and poses that give the person back.

    They do so by our skinning, which equals smplx's.
    """
    source, vertices, joints = take
    done = export(source, tmp_path / "walk.npz", origin="camera", smooth=0.0)
    with np.load(done.path, allow_pickle=False) as file:
        a = {k: file[k] for k in file}
    assert a["poses"].shape == (FRAMES, 156) and a["trans"].shape == (FRAMES, 3) and a["betas"].shape == (16,)
    assert a["gender"].shape == () and str(a["gender"]) == "neutral" and str(a["up_axis"]) == "z"
    assert float(a["mocap_framerate"]) == float(a["mocap_frame_rate"]) == float(a["fps"]) == 30
    np.testing.assert_array_equal(np.concatenate([a["root_orient"], a["pose_body"], a["pose_hand"]], 1), a["poses"])
    assert not a["betas"].any()  # the bundled body's shapes are not SMPL's
    pose = np.concatenate([a["poses"][:, :66].reshape(FRAMES, 22, 3), a["lvd_pose"][:, 22:]], 1).astype(np.float32)
    with torch.no_grad():
        v, j = body(
            torch.from_numpy(a["lvd_betas"])[None].expand(FRAMES, -1),
            torch.from_numpy(pose),
            torch.from_numpy(a["trans"].astype(np.float32)),
        )
    assert_same(j.numpy(), truth(joints, "z"))
    assert_same(v.numpy(), truth(vertices, "z"))
    np.testing.assert_allclose(a["lvd_vertices"], truth(vertices, "z"), atol=1e-4)
    assert a["lvd_tracked"].all() and a["lvd_source_timestamps_ns"][0] == 7_000_000_000
    assert "height" in json.loads(str(a["lvd_measurements"]))


@pytest.mark.parametrize("up, rate", [("z", None), ("y", None), ("z", 60)])
def test_npz_in_smplcodec_and_smplx(take, tmp_path, up, rate, body):
    """An AMASS loader that is not ours reads the file; smplx, which most readers stand on, poses our body by it."""
    smplcodec = pytest.importorskip("smplcodec", reason="smplcodec is not installed")
    smplx = pytest.importorskip("smplx", reason="the [smpl] extra is not installed")
    from smplx.utils import Struct

    source, *_ = take
    path = export(source, tmp_path / "walk.npz", origin="camera", up=up, rate=rate).path
    read = smplcodec.SMPLCodec.from_amass_npz(path)
    read.validate()
    frames = read.frame_count
    assert read.frame_rate == (rate or FPS) and frames == (FRAMES if rate is None else 2 * FRAMES - 1)
    assert read.left_hand_pose.shape == (frames, 15, 3)
    with np.load(MODELS / "body" / "lvd_body.npz") as file, np.load(path, allow_pickle=False) as a:
        arrays, betas = {k: file[k] for k in file}, np.tile(a["lvd_betas"], (frames, 1))
    arrays["shapedirs"] = np.concatenate([arrays["shapedirs"], np.zeros((6890, 3, 280), np.float32)], 2)
    landmarks = dict.fromkeys(SMPLX_VERTICES, 0)
    data = Struct(**arrays)
    model = smplx.SMPL("", data_struct=data, num_betas=20, batch_size=frames, vertex_ids=landmarks)
    given = {
        "betas": betas,
        "global_orient": read.body_pose[:, 0],
        "body_pose": np.pad(read.body_pose[:, 1:].reshape(frames, 63), ((0, 0), (0, 6))),
        "transl": read.body_translation,
    }
    tensors = {name: torch.from_numpy(array.astype(np.float32)) for name, array in given.items()}
    with torch.no_grad():
        found = model(**tensors).joints[:, :24].numpy()
    _, joints = perform(body, np.arange(frames) / read.frame_rate)
    assert_same(found[:: 1 if rate is None else 2], truth(joints, up)[:: 1 if rate is None else 2])
    assert np.linalg.norm(found - truth(joints, up), axis=-1).max() < 0.006  # between frames joints curve


@pytest.mark.parametrize("suffix", [".obj", ".ply"])
def test_meshes_in_trimesh(take, body, tmp_path, suffix):
    source, vertices, joints = take
    regressor = body.J_regressor.numpy().astype(float)
    for mesh in ("fitted", "regularised"):
        done = export(source, tmp_path / mesh, format=suffix[1:], origin="camera", unit="cm", up="z", mesh=mesh)
        files = sorted(done.path.iterdir())
        assert [f.name for f in files] == [f"{n:06d}{suffix}" for n in range(FRAMES)]
        for number in range(FRAMES):
            found = trimesh.load(files[number], process=False)
            assert_same(np.asarray(found.vertices), truth(vertices[number], "z", 100), 100)
            assert np.array_equal(found.faces, body.faces.numpy())
            assert_same(regressor @ found.vertices, regressor @ truth(vertices[number], "z", 100), 100)


def test_uncertainty_as_colour(take, tmp_path):
    source, *_ = take
    done = export(source, tmp_path / "seen", format="ply-uncertainty")
    found = trimesh.load(done.path / "000003.ply", process=False)
    colours = np.asarray(found.visual.vertex_colors)[:, :3].astype(int)
    assert colours[0].sum() < colours[-1].sum() and len(np.unique(colours, axis=0)) > 100  # viridis: dark is sure
    assert (colours[-1] == colours[6000]).all()  # beyond 10 cm all alike
    assert not any("no uncertainty" in note for note in done.notes)
    std = found.metadata["_ply_raw"]["vertex"]["data"]["std"].ravel()
    np.testing.assert_allclose(std, np.linspace(0.01, 0.12, 6890), atol=1e-5)


def read_glb(path):
    """Joints (F, 24, 3), skinned vertices (F, N, 3), times and faces of an animated GLB.

    By pygltflib and the specification's formulas.
    """
    pygltflib = pytest.importorskip("pygltflib", reason="pygltflib is not installed")
    gltf = pygltflib.GLTF2().load(str(path))
    blob = gltf.binary_blob()

    def array(index):
        accessor = gltf.accessors[index]
        view = gltf.bufferViews[accessor.bufferView]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[accessor.type]
        types = {pygltflib.FLOAT: "<f4", pygltflib.UNSIGNED_BYTE: "u1", pygltflib.UNSIGNED_INT: "<u4"}
        dtype = types[accessor.componentType]
        assert view.byteOffset % 4 == 0
        data = np.frombuffer(blob, dtype, accessor.count * width, view.byteOffset).reshape(accessor.count, width)
        assert not accessor.min or np.allclose(data.min(0), accessor.min) and np.allclose(data.max(0), accessor.max)
        return data

    skin, primitive = gltf.skins[0], gltf.meshes[0].primitives[0]
    animation = gltf.animations[0]
    outputs = {(c.target.node, c.target.path): array(animation.samplers[c.sampler].output) for c in animation.channels}
    times = array(animation.samplers[0].input)[:, 0]
    T = np.zeros((len(times), len(gltf.nodes), 4, 4))

    def walk(node, parent):
        local = np.tile(np.eye(4), (len(times), 1, 1))
        local[:, :3, 3] = outputs.get((node, "translation"), gltf.nodes[node].translation or [0, 0, 0])
        if (node, "rotation") in outputs:
            q = outputs[node, "rotation"]
            assert ((q[1:] * q[:-1]).sum(1) > 0).all()  # no jump through the far side of the sphere
            local[:, :3, :3] = Rotation.from_quat(q).as_matrix()
        T[:, node] = parent @ local
        for child in gltf.nodes[node].children or []:
            walk(child, T[:, node])

    for root in gltf.scenes[0].nodes:
        walk(root, np.eye(4))
    assert [gltf.nodes[n].name for n in skin.joints] == list(JOINT_NAMES)
    joints = T[:, skin.joints]
    bind = array(skin.inverseBindMatrices).reshape(-1, 4, 4).swapaxes(1, 2)
    weights, index = array(primitive.attributes.WEIGHTS_0), array(primitive.attributes.JOINTS_0)
    assert np.allclose(weights.sum(1), 1, atol=1e-6)
    assert np.allclose(np.linalg.norm(array(primitive.attributes.NORMAL), axis=1), 1, atol=1e-5)
    points = np.pad(array(primitive.attributes.POSITION), ((0, 0), (0, 1)), constant_values=1)
    vertices = np.einsum("nk,fnkab,nb->fna", weights, (joints @ bind)[:, index], points, optimize=True)[..., :3]
    return joints[..., :3, 3], vertices, times, array(primitive.indices).reshape(-1, 3)


def test_glb_plays_in_one_file(take, body, tmp_path):
    source, vertices, joints = take
    done = export(source, tmp_path / "walk.glb", origin="camera")
    found, skinned, times, faces = read_glb(done.path)
    assert_same(found, truth(joints))
    assert_same(skinned, truth(vertices))
    np.testing.assert_allclose(times, np.arange(FRAMES) / FPS, atol=1e-6)
    assert np.array_equal(faces, body.faces.numpy()) and done.path.stat().st_size < 1 << 20
    scene = trimesh.load(done.path)  # another reader opens it too
    assert len(scene.geometry) == 1 and len(next(iter(scene.geometry.values())).faces) == 13776


@pytest.mark.parametrize("up, unit", [("y", "m"), ("z", "cm")])
def test_bvh_in_bvhio(take, tmp_path, up, unit):
    bvhio = pytest.importorskip("bvhio", reason="bvhio is not installed")
    source, _, joints = take
    done = export(source, tmp_path / "walk.bvh", origin="camera", up=up, unit=unit)
    root = bvhio.readAsHierarchy(str(done.path))
    assert bvhio.readAsBvh(str(done.path)).FrameTime == pytest.approx(1 / FPS, abs=1e-6)
    scale = {"m": 1, "cm": 100}[unit]
    for frame in range(FRAMES):
        root.loadPose(frame)
        found = {joint.Name: np.array(joint.PositionWorld) for joint, *_ in root.layout()}
        assert set(found) >= set(JOINT_NAMES)
        assert_same(np.array([found[name] for name in JOINT_NAMES]), truth(joints[frame], up, scale), scale)


@pytest.mark.parametrize("up, unit", [("y", "m"), ("z", "cm")])
def test_usd_in_its_own_library(take, tmp_path, up, unit):
    pytest.importorskip("pxr", reason="the [usd] extra is not installed")
    from pxr import Usd, UsdGeom, UsdSkel

    source, vertices, joints = take
    done = export(source, tmp_path / "walk.usdc", origin="camera", up=up, unit=unit)
    stage = Usd.Stage.Open(str(done.path))
    scale = {"m": 1, "cm": 100}[unit]
    assert UsdGeom.GetStageUpAxis(stage) == up.upper()
    assert UsdGeom.GetStageMetersPerUnit(stage) == pytest.approx(1 / scale)
    assert stage.GetTimeCodesPerSecond() == FPS and stage.GetEndTimeCode() == FRAMES - 1
    cache, root = UsdSkel.Cache(), UsdSkel.Root(stage.GetPrimAtPath("/Body"))
    cache.Populate(root, Usd.TraverseInstanceProxies())
    skeleton = cache.GetSkelQuery(UsdSkel.Skeleton(stage.GetPrimAtPath("/Body/Skeleton")))
    for frame in range(FRAMES):
        T = np.array(skeleton.ComputeJointSkelTransforms(frame))
        assert_same(T[:, 3, :3], truth(joints[frame], up, scale), scale)
    UsdSkel.BakeSkinning(root)
    baked = np.array(UsdGeom.Mesh(stage.GetPrimAtPath("/Body/Mesh")).GetPointsAttr().Get(9))
    assert_same(baked, truth(vertices[9], up, scale), scale)


def test_usd_point_cache(take, tmp_path):
    pytest.importorskip("pxr", reason="the [usd] extra is not installed")
    from pxr import Usd, UsdGeom

    source, vertices, _ = take
    done = export(source, tmp_path / "walk.usda", origin="camera", mesh="fitted")
    stage = Usd.Stage.Open(str(done.path))
    mesh = UsdGeom.Mesh(stage.GetPrimAtPath("/Body/Mesh"))
    assert_same(np.array(mesh.GetPointsAttr().Get(5)), truth(vertices[5]))


def test_tables(take, tmp_path):
    source, _, joints = take
    done = export(source, tmp_path / "walk.csv", origin="camera", unit="cm")
    table = np.genfromtxt(done.path, delimiter=",", names=True)
    assert len(table) == FRAMES and (table["tracked"] == 1).all() and (table["residual_mm"] < 1).all()
    found = np.stack([[table[f"{name}_{axis}"] for axis in "xyz"] for name in JOINT_NAMES]).transpose(2, 0, 1)
    assert_same(found, truth(joints, unit=100), 100)
    with open(tmp_path / "walk-measurements.csv", newline="") as file:
        rows = {row["measurement"]: float(row["cm"]) for row in csv.DictReader(file)}
    assert set(rows) == {"height", "chest", "waist", "hip", "inseam", "arm_span"} and 120 < rows["height"] < 220


def test_another_rate(body, tmp_path):
    """25 frames a second stay so, or become 30 and 60: joints lie between their neighbours in time."""
    times = np.arange(12) / 25
    vertices, _ = perform(body, times)
    path = Take.open(write_take(tmp_path / "walk.npz", body, vertices, times, 25.0))
    for rate, expected in ((None, 25), (60, 60), (30, 30)):
        motion = BodyMotion(path, ExportOptions(rate=rate, origin="camera"))
        assert motion.grid.fps == expected and len(motion) == int(times[-1] * expected + 1e-6) + 1
        assert motion.grid.tracked.all() and not motion.grid.gaps
        _, joints = perform(body, motion.grid.times)
        miss = np.linalg.norm(motion.joints - truth(joints), axis=-1)
        assert miss.max() < 0.006  # half a source frame away, joints curve
        fitted = BodyMotion(path, ExportOptions(rate=rate, origin="camera", mesh="fitted"))
        true_vertices, _ = perform(body, motion.grid.times)
        for (found, _), true in zip(meshes(fitted), true_vertices, strict=True):
            assert np.linalg.norm(found - truth(true), axis=-1).max() < 0.008


def test_gaps_are_bridged_marked_and_said(body, tmp_path):
    times = np.arange(60) / FPS
    vertices, _ = perform(body, times)
    tracked = np.ones(60, bool)
    tracked[[0, 1, 59]] = tracked[10] = False
    tracked[20:45] = False
    path = Take.open(write_take(tmp_path / "walk.npz", body, vertices, times, FPS, tracked))
    done = export(path, tmp_path / "meshes", format="obj", origin="camera")
    assert "29 of 60 frames have no mesh (2 before the first, 1 after the last)" in done.notes[0]
    assert "1 gap, 0.8 s in all" in done.notes[0]
    assert done.frames == 57
    numbers = {int(f.stem) for f in done.path.iterdir()}
    assert numbers == set(range(57)) - set(range(18, 43))
    export(path, tmp_path / "walk.csv", origin="camera")
    table = np.genfromtxt(tmp_path / "walk.csv", delimiter=",", names=True)
    assert table["tracked"].sum() == 57 - 25 and not table["tracked"][18:43].any()
    assert table["tracked"][8] == 1  # one frame is no gap
    steps = np.abs(np.diff(np.stack([table["pelvis_x"], table["pelvis_y"], table["pelvis_z"]], 1), axis=0)).max()
    assert steps < 0.03  # it goes evenly through the gap
    with np.load(export(path, tmp_path / "out.npz").path, allow_pickle=False) as file:
        assert not file["lvd_vertices"][18:43].any() and file["lvd_vertices"][17].any() and not file["lvd_tracked"][20]


def test_pictures_on_their_own_become_one_frame_each(body, tmp_path):
    vertices, _ = perform(body, np.arange(3) / 2)
    meta = {"names": ["a", "b", "c"]}
    path = write_take(tmp_path / "stills.npz", body, vertices, np.arange(3) * 1e-9, 0.0, meta=meta)
    assert len(BodyMotion(Take.open(path), ExportOptions())) == 3


def test_the_floor_is_the_origin(take, tmp_path):
    source, *_ = take
    for up, axis in (("y", 1), ("z", 2)):
        motion = BodyMotion(source, ExportOptions(up=up))
        heights = np.array([vertices[:, axis] for vertices, _ in meshes(motion)])
        assert abs(heights.min()) < 0.12 and heights.max() > 1.2
        assert np.abs(np.delete(motion.pelvis[0], axis)).max() < 1e-9


def test_smoothing_takes_the_jitter_out(body, tmp_path):
    times = np.arange(24) / FPS
    vertices, joints = perform(body, times)
    rng = np.random.default_rng(0)
    shaken = vertices + rng.normal(0, 0.02, (24, 1, 3))
    path = Take.open(write_take(tmp_path / "shaken.npz", body, shaken, times, FPS))

    def jitter(points):
        return np.linalg.norm(np.diff(points, n=2, axis=0), axis=-1).mean()

    rough, smooth = (BodyMotion(path, ExportOptions(smooth=s, origin="camera")) for s in (0.0, 0.08))

    def error(motion):
        return np.linalg.norm(motion.joints - truth(joints), axis=-1).mean()

    assert jitter(smooth.joints) < 0.2 * jitter(rough.joints) and error(smooth) < error(rough)
    fitted = BodyMotion(path, ExportOptions(smooth=0.08, origin="camera", mesh="fitted"))
    found = np.array([m[0] for m in meshes(fitted)])
    assert jitter(found) < 0.3 * jitter(shaken)


def test_planted_feet_stay():
    """Each standing foot is held where it was, and the body goes on evenly while feet change.

    The walker's distance from the camera shakes as one camera's estimate does, and drifts.
    """
    t = np.arange(90) / 30
    place = np.tile([[-0.1, -1.2, -3.0], [0.1, -1.2, -3.0]], (90, 1, 1))
    place[30:60, 1, 1] += 0.3 * np.sin(np.pi * np.arange(30) / 30)
    place[30:60, 1, 0] += np.linspace(0, 0.6, 30)
    place[60:, 1, 0] += 0.6
    place[60:, 0, 1] += np.minimum(0.02 * np.arange(30), 0.3)
    drift = np.stack([0.05 * t, 0.02 * np.sin(t), 0.1 * t], 1)[:, None]
    noise = np.random.default_rng(0).normal(0, 0.02, (90, 1, 1)) * place / 3 + drift
    shift = planted(place + noise, 1, 30.0)
    held = place + noise + shift[:, None]

    def moves(points):
        return np.linalg.norm(points - points.mean(0), axis=1).mean()

    def fastest(points):
        return np.linalg.norm(np.diff(points, axis=0), axis=1).max()

    for foot, stance in ((0, slice(3, 58)), (1, slice(63, 87))):
        assert moves(held[stance, foot]) < 0.006 < 0.02 < moves((place + noise)[stance, foot])
    assert fastest(shift) < 1.5 * fastest(noise[:, 0])
    running = np.tile([[-0.1, -1.2, -3.0], [0.1, -1.2, -3.0]], (20, 1, 1)) + np.arange(20)[:, None, None] * [0.1, 0, 0]
    assert not planted(running, 1, 30.0).any() and planted(running[:1], 1, 30.0).shape == (1, 3)


def test_foot_lock_is_the_same_for_joints_and_meshes(body, tmp_path):
    slow, _ = perform(body, np.arange(FRAMES) / FPS / 4)
    source = Take.open(write_take(tmp_path / "slow.npz", body, slow, np.arange(FRAMES) / FPS, FPS))
    locked, free = (BodyMotion(source, ExportOptions(foot_lock=lock, origin="camera")) for lock in (True, False))
    fitted = BodyMotion(source, ExportOptions(foot_lock=True, origin="camera", mesh="fitted"))
    shift = locked.pelvis - free.pelvis
    assert np.abs(shift).max() > 0.01
    for moved, skinned, plain, tracked in zip(shift, meshes(locked), meshes(free), meshes(fitted), strict=True):
        np.testing.assert_allclose(skinned[0] - plain[0], np.broadcast_to(moved, skinned[0].shape), atol=1e-5)
        assert np.linalg.norm(skinned[0] - tracked[0], axis=-1).max() < 0.001


def test_height_scales_everything(take, tmp_path):
    source, *_ = take
    export(source, tmp_path / "a.csv", height=1.9)
    rows = dict(line.split(",")[:2] for line in (tmp_path / "a-measurements.csv").read_text().splitlines())
    assert float(rows["height"]) == 190
    plain = BodyMotion(source, ExportOptions(origin="camera"))
    scaled = BodyMotion(source, ExportOptions(origin="camera", height=1.9))
    np.testing.assert_allclose(scaled.joints, plain.joints * scaled.scale, atol=1e-6)
    assert np.ptp(scaled.rest[:, 1]) == pytest.approx(1.9, abs=1e-6)


def test_with_a_body_of_another_topology(brief, body, tmp_path, monkeypatch):
    """--body with SMPL's layout: meshes of its topology, its own betas in AMASS's place."""
    monkeypatch.setattr(Correspondence, "between", classmethod(lambda cls, a, b: match()[2]))
    source, (_, joints) = Take.open(brief), perform(body, np.arange(3) / FPS)
    arrays, _ = other_arrays()
    np.savez(tmp_path / "smpl.npz", **arrays)
    done = export(source, tmp_path / "walk.npz", origin="camera", body=tmp_path / "smpl.npz")
    with np.load(done.path, allow_pickle=False) as a:
        assert a["lvd_vertices"].shape == (3, 13348, 3) and a["lvd_residual_mm"].max() < 10
        assert a["betas"].any() and np.array_equal(a["betas"], a["lvd_betas"][:16].astype(float))
        found = a["lvd_joints"]
    assert np.linalg.norm(found - truth(joints, "z"), axis=-1).mean() < 0.02
    glb, *_ = read_glb(export(source, tmp_path / "walk.glb", origin="camera", body=tmp_path / "smpl.npz").path)
    assert np.linalg.norm(glb - truth(joints), axis=-1).mean() < 0.02


@pytest.fixture
def brief(tmp_path, body):
    times = np.arange(3) / FPS
    vertices, _ = perform(body, times)
    return write_take(tmp_path / "brief.npz", body, vertices, times, FPS)


def test_from_a_recorded_session(tmp_path, body):
    vertices, joints = perform(body, np.arange(6) / FPS)
    recorder = Recorder(tmp_path, "walk", faces=body.faces.numpy().astype(np.int32), meta={}, fps=FPS)
    K = np.array([[60.0, 0, 47.5], [0, 60.0, 31.5], [0, 0, 1]])
    for n, v in enumerate(vertices):
        fit = fake_fit(v.astype(np.float32), K, cold=n == 0, iterations=2, index=n)
        frame = Frame(np.zeros((64, 96, 3), np.uint8), n, 10**9 + round(n * 1e9 / FPS))
        recorder.add(frame, fake_person(np.zeros((33, 3), np.float32)), fit)
    folder = recorder.stop()
    found, *_ = read_glb(export(folder, tmp_path / "walk.glb", origin="camera").path)
    assert_same(found, truth(joints))
    measured = measure_session(folder, body, height=1.75)
    assert measured["height"].cm == pytest.approx(175)
    stored = {name: (round(m.cm, 2), round(m.error, 2)) for name, m in measured.items()}
    assert list_sessions(tmp_path)[0].measurements == stored
    assert recover(folder).code == 0 and rename(folder, "run")
    assert list_sessions(tmp_path)[0].measurements["height"][0] == 175
    session = list_sessions(tmp_path)[0].path
    before = sorted(session.rglob("*"))
    for name in ("obj", "glb"):
        with pytest.raises(UserError, match="lies in the recording"):
            export(session, session / f"walk.{name}", format=name)
    assert sorted(session.rglob("*")) == before


def test_more_frames_than_the_take_has_are_explained(body, tmp_path):
    vertices, _ = perform(body, np.arange(6) / 10)
    slow = write_take(tmp_path / "slow.npz", body, vertices, np.arange(6) / 10, 10)
    assert export(slow, tmp_path / "slow.bvh").frames == 6  # its own rate
    done = export(slow, tmp_path / "slow.bvh", rate=30)
    assert done.frames == 16 and "They are evenly spaced, 30 a second; the take has 6." in done.notes
    assert "The take's 10 frames per second were resampled to 30." in done.notes


@pytest.mark.parametrize(
    "target, options, words",
    [
        ("a.xyz", {}, "--format"),
        ("a.npz", {"format": "gif"}, "no format"),
        ("a.glb", {"up": "z"}, "up axis of a glb file is y"),
        ("a.bvh", {"mesh": "fitted"}, "mesh of a bvh file"),
        ("a.npz", {"unit": "cm"}, "unit of an npz file is m"),
        ("a.glb", {"format": "npz"}, "ends in"),
        ("a.npz", {"rate": 0.0}, "frames per second"),
        ("a.npz", {"rate": float("nan")}, "frames per second"),
        ("a.npz", {"smooth": 9}, "moothing"),
        ("a.npz", {"height": 17}, "height"),
        ("a.npz", {"up": "x"}, "up axis"),
        ("brief.npz", {}, "take to be exported"),
        ("none/a.npz", {}, "does not exist"),
        ("full", {"format": "obj"}, "empty folder"),
        ("none/a", {"format": "obj"}, "does not exist"),
        ("a.npz", {"body": "none.npz"}, "no body file"),
    ],
)
def test_mistakes_are_said_in_one_sentence(brief, tmp_path, target, options, words):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "keep.txt").write_text("mine")
    before = sorted(p.name for p in tmp_path.rglob("*"))
    with pytest.raises(UserError, match=words) as caught:
        export(brief, tmp_path / target, **options)
    assert "\n" not in str(caught.value) and sorted(p.name for p in tmp_path.rglob("*")) == before


def test_takes_that_cannot_be_exported(tmp_path, body):
    v, _ = perform(body, np.zeros(2))
    nobody = write_take(tmp_path / "nobody.npz", body, v, [0, 1], FPS, tracked=[False, False])
    ages = write_take(tmp_path / "ages.npz", body, v, [0, 4e9], FPS)
    other = write_take(tmp_path / "other.npz", body, v, [0, 1], FPS, faces=body.faces.numpy()[::-1])
    none = tmp_path / "none.npz"
    for path, words in ((nobody, "Nobody"), (ages, "too many frames"), (other, "--body"), (none, "none.npz")):
        with pytest.raises(UserError, match=words):
            export(path, tmp_path / "out.glb")
    assert not (tmp_path / "out.glb").exists()


@pytest.mark.parametrize(
    "mesh",
    [
        np.full((6890, 3), 3e38),
        np.zeros((6890, 3)),
        np.full((6890, 3), 1e-30),
        np.random.default_rng(0).normal(0, 1e20, (6890, 3)),
        np.tile([1e18, -1e18, 3.0], (6890, 1)),
    ],
)
def test_meshes_of_nobody(tmp_path, body, mesh):
    """Finite numbers that are no person: one sentence, or a file; never a traceback."""
    path = write_take(tmp_path / "odd.npz", body, np.stack([mesh] * 2), [0, 1 / FPS], FPS)
    for target in ("odd.glb", "odd.csv"):
        try:
            export(path, tmp_path / target)
        except UserError as error:
            assert "\n" not in str(error)


def test_a_stopped_export_leaves_nothing(brief, tmp_path):
    def stop(done, total):
        if done == 1:
            raise KeyboardInterrupt

    for target, name in (("out", "obj"), ("out.npz", "npz")):
        with pytest.raises(KeyboardInterrupt):
            export(brief, tmp_path / target, format=name, progress=stop)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["brief.npz"]


def test_an_older_file_is_replaced(brief, tmp_path):
    (tmp_path / "a.bvh").write_text("old")
    export(brief, tmp_path / "a.bvh")
    assert (tmp_path / "a.bvh").read_text().startswith("HIERARCHY")


def test_the_tool(brief, tmp_path, capsys):
    options = "--rate 60 --smooth 0.05 --foot-lock --height 1.7".split()
    assert tool(["export", str(brief), "--to", str(tmp_path / "a.glb"), *options]) == 0
    out, err = capsys.readouterr()
    assert "5 frames" in out and "mm from the tracked mesh" in err and (tmp_path / "a.glb").exists()
    with pytest.raises(UserError):
        tool(["export", str(brief)])
    with pytest.raises(UserError, match="nonsense"):
        tool(["export", str(brief), "--to", "a", "--format", "nonsense"])


def test_formats_for_the_window():
    assert {"npz", "glb", "bvh", "usd", "obj", "ply", "csv"} <= set(FORMATS)
    for kind in FORMATS.values():
        assert kind.title and kind.suffix.startswith(".") and kind.meshes
    assert exports.export is export and JOINT["pelvis"] == 0
