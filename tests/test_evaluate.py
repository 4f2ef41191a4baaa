"""Metrics on cases whose answer is known, and the real-picture table on pictures made here."""

import cv2
import numpy as np
import pytest
import torch

from lvd_live.body.model import BodyModel
from lvd_live.errors import UserError
from lvd_live.evaluate import cli, held_out
from lvd_live.evaluate.metrics import LIMBS, aligned_error, mean_distance, silhouette_iou, to_millimetres
from lvd_live.evaluate.real import JOINTS_OF_LIMBS, inputs, mask_in_picture, person_height
from lvd_live.evaluate.synthetic import FILL, start_meshes, yaw_of
from lvd_live.evaluate.uncertainty import Pairs, calibrate
from lvd_live.lvd.network import LVD
from lvd_live.lvd.presets import PRESETS
from lvd_live.lvd.weights import annotate, load_network, save_weights
from lvd_live.paths import MODELS
from lvd_live.person.types import Person
from lvd_live.synth.motion import PoseBank
from lvd_live.synth.people import to_crop_frame


def test_alignment_removes_a_shift_and_nothing_else():
    g = torch.Generator().manual_seed(0)
    true = torch.randn(2, 50, 3, generator=g)
    origin = torch.zeros(50)
    origin[:2] = 0.5
    assert aligned_error(true + torch.tensor([5.0, -3.0, 1.0]), true, origin).max() < 1e-5
    moved = true.clone()
    moved[:, 10] += torch.tensor([3.0, 4.0, 0.0])
    error = aligned_error(moved, true, origin)
    assert error[0, 10] == pytest.approx(5.0, abs=1e-5) and error[0, 11] < 1e-5


def test_millimetres_undo_the_camera():
    rng = np.random.default_rng(0)
    camera = rng.normal(0, 0.4, (60, 3)) + [0.3, 0.1, -2.5]
    crop = to_crop_frame(camera, 2.2, np.array([0.1, -0.3]), 2.5)
    focal, offset, depth = torch.tensor([2.2]), torch.tensor([[0.1, -0.3]]), torch.tensor([2.5])
    back = to_millimetres(torch.from_numpy(crop)[None], focal, offset, depth)
    np.testing.assert_allclose(back[0].numpy(), 1000 * camera, atol=0.05)


def test_iou():
    a, b = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    a[:2], b[1:3] = True, True
    assert silhouette_iou(a, b) == pytest.approx(1 / 3)
    assert silhouette_iou(a, a) == 1 and silhouette_iou(a & False, b & False) == 0


def test_distance_is_a_share_of_the_height():
    points = np.zeros((12, 3))
    assert mean_distance(points[:, :2] + [3, 4], points, 100) == pytest.approx(0.05)


def test_joints_and_landmarks_are_in_one_order():
    body = BodyModel.load(MODELS / "body" / "lvd_body.npz")
    joints = (body.J_regressor @ body.v_template)[JOINTS_OF_LIMBS]
    landmarks = (body.landmarks @ body.v_template)[list(LIMBS)]
    assert (joints - landmarks).norm(dim=1).max() < 0.1


def test_size_and_mask_of_a_person():
    mask = np.zeros((120, 160), np.float32)
    mask[20:100, 60:90] = 1
    T = np.array([[0.25, 0, -0.375], [0, 0.25, -0.375]], np.float32)
    landmarks = np.column_stack([np.full(33, 300.0), np.full(33, 240.0), np.ones(33)]).astype(np.float32)
    person = Person(mask, T, landmarks, np.zeros((33, 3), np.float32), 1.0, True)
    assert person_height(person) == pytest.approx(320, rel=0.01)
    picture = mask_in_picture(person, (480, 640))
    rows, columns = np.nonzero(picture)
    assert abs(rows.min() - 80) <= 2 and abs(rows.max() - 399) <= 2
    assert abs(columns.min() - 240) <= 2 and abs(columns.max() - 359) <= 2


def test_starts_fill_the_crop_and_differ():
    body = BodyModel.load(MODELS / "body" / "lvd_body.npz")
    motion = PoseBank.load(MODELS / "synth" / "poses.npz", held_out=True)
    rng = np.random.default_rng(0)
    assert start_meshes(body, motion, "point", 3, rng).shape == (3, 3)
    tpose, random = (start_meshes(body, motion, kind, 3, rng) for kind in ("tpose", "random"))
    assert tpose.shape == random.shape == (3, 6890, 3)
    assert float(tpose[0, :, 1].max() - tpose[0, :, 1].min()) == pytest.approx(2 * FILL, abs=1e-3)
    assert (random[0] - random[1]).norm(dim=-1).mean() > 0.1


def test_yaw():
    def turn(degrees):
        a = np.radians(degrees)
        return np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])

    turns = np.stack([turn(degrees) for degrees in (0, 44, 46, 90, 181, -90, -10)])
    np.testing.assert_array_equal(yaw_of(turns), [0, 0, 90, 90, 180, 270, 0])


def test_only_photographs_are_inputs(tmp_path):
    images = [f"images/{name}" for name in ("a.png", "a_mask.png", "segmentations_b.png", "notes.txt")]
    for name in (*images, "videos/c.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [p.name for p in inputs(tmp_path)] == ["a.png", "c.mp4"]


def test_nothing_to_measure(tmp_path):
    for arguments, word in (
        ([], "what to measure"),
        (["--real", str(tmp_path / "none")], "no folder"),
        (["--real", str(tmp_path)], "no clips"),
    ):
        with pytest.raises(UserError, match=word):
            cli.main(arguments)


def test_a_picture_without_anybody(tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((120, 160, 3), 99, np.uint8))
    assert cli.main(["--real", str(tmp_path), "--no-cold"]) == 0
    assert "| wall.png | 0/1 |" in capsys.readouterr().out


def test_learning_curve(tmp_path):
    table = tmp_path / "validation.csv"
    table.write_text("samples,conditioning,v2v_6\n1000,all,120\n1000,maps,150\n9000,all,70\n9000,maps,90\n")
    assert cli.main(["--curve", str(table), str(tmp_path / "curve.png")]) == 0
    assert cv2.imread(str(tmp_path / "curve.png")).std() > 5
    with pytest.raises(UserError, match="validation.csv"):
        cli.main(["--curve", str(tmp_path / "none.csv"), str(tmp_path / "curve.png")])


def test_calibration_is_monotone_and_right_on_average():
    rng = np.random.default_rng(0)
    std = rng.gamma(2, 0.01, (64, 500))
    error = 0.02 + 3 * std * rng.gamma(4, 0.25, std.shape)
    pairs = Pairs(std, error)
    knots = calibrate(pairs.half(0))
    assert (np.diff(knots["std"]) > 0).all() and (np.diff(knots["error"]) >= 0).all()
    others = pairs.half(1)
    expected = np.interp(others.std, knots["std"], knots["error"])
    for low, high in ((0, 0.02), (0.02, 0.05)):
        chosen = (others.std > low) & (others.std < high)
        assert expected[chosen].mean() == pytest.approx(others.error[chosen].mean(), rel=0.05)
    shuffled = rng.permutation(error.ravel()).reshape(error.shape)
    assert pairs.correlation() > 0.6 and abs(Pairs(std, shuffled).correlation()) < 0.05


def test_a_note_in_the_weight_file_leaves_the_weights_alone(tmp_path):
    network = LVD(PRESETS["live"], torch.arange(1723), torch.zeros(6890, 8), torch.full((6890, 8), 0.125))
    path = tmp_path / "live.safetensors"
    save_weights(network, path, {"hours": 1})
    annotate(path, calibration={"std": [0.0], "error": [0.0]})
    again, _, about = load_network(path)
    assert about == {"hours": 1, "calibration": {"std": [0.0], "error": [0.0]}}
    assert torch.equal(again.field.head.bias, network.field.head.bias.detach().half().float())


def test_kinds_of_held_out_people_are_not_mixed(tmp_path, monkeypatch, caplog):
    made = []
    monkeypatch.setattr(
        held_out, "make_shards", lambda *places, **kind: made.append((places[0], list(places[3]), kind))
    )
    held_out.fill_held_out(tmp_path, MODELS, 192, range(8), keep=True)
    assert "Making 8 shards of plain held-out people" in caplog.text
    assert made.pop() == (tmp_path, list(range(8)), {"held_out": True, "webcams": None})
    (tmp_path / "00000.npy").touch()
    caplog.clear()
    held_out.fill_held_out(tmp_path, MODELS, 192, range(8), keep=True)
    assert not made and f"Measured on the people that {tmp_path} holds (shards: 1)." in caplog.text
    caplog.clear()
    held_out.fill_held_out(tmp_path, MODELS, 192, range(8), keep=False)
    assert len(made) == 1 and "Making 7 shards" in caplog.text


def test_a_named_folder_stays_as_it_is(tmp_path, monkeypatch):
    keeps = []
    monkeypatch.setattr(cli, "fill_held_out", lambda *_, keep, **__: keeps.append(keep))
    monkeypatch.setattr(cli, "open_held_out", lambda *_: None)
    for arguments in (["--synthetic", str(tmp_path)], ["--synthetic"]):
        cli._held_out(cli._parser().parse_args(arguments))
    assert keeps == [True, False]
