"""The paper's experiments: what they measure where the answer is known, and the whole report on a handful of people."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from lvd_live.body.estimate import ERRORS
from lvd_live.body.fit import BodyFitter
from lvd_live.body.model import BodyModel
from lvd_live.errors import UserError
from lvd_live.evaluate import cli, experiments, robustness, webcam
from lvd_live.evaluate.held_out import EvalBatch, eval_batches, open_held_out
from lvd_live.evaluate.methods import ITERATIONS
from lvd_live.evaluate.steadiness import jerk, lag
from lvd_live.evaluate.surface import distance_to_surface, incident_faces
from lvd_live.paths import MODELS
from lvd_live.synth.dataset import write_shard
from lvd_live.synth.people import People
from lvd_live.tracking.smoothing import Level, OneEuro

trimesh = pytest.importorskip("trimesh", reason="the report's plots and surface distances need the train extra")
PEOPLE = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Eight small shards of naked grey people: silhouettes of the mesh, true landmarks, no feature maps."""
    people, rng, out = People(MODELS, held_out=True), np.random.default_rng(0), tmp_path_factory.mktemp("held-out")
    control = np.load(MODELS / "body" / "lvd_body.npz")["control"]
    size, faces = 64, people.body.faces.numpy()
    for k in cli.HELD_OUT_SHARDS:
        rows = []
        for v in people.views(people.shape(rng), rng, PEOPLE):
            alpha = np.zeros((size, size), np.uint8)
            corners = ((v.vertices[:, :2] * [1, -1] + 1) * size / 2 - 0.5)[faces].round().astype(np.int32)
            for triangle in corners[::4]:
                cv2.fillConvexPoly(alpha, triangle, 255)
            z = v.landmarks[:, 2] - v.landmarks[[23, 24], 2].mean()
            rows.append(
                {
                    "picture": np.repeat(alpha[..., None] // 2, 3, 2),
                    "alpha": alpha,
                    "mask": alpha,
                    "landmarks": np.column_stack([v.landmarks[:, :2], z, np.ones(33)]).astype(np.float16),
                    "truth": v.landmarks.astype(np.float16),
                    "fine": np.zeros((48, 32, 32), np.uint8),
                    "coarse": np.zeros((288, 8, 8), np.uint8),
                    "region": np.eye(2, 3, dtype=np.float32),
                    "observed": np.bool_(True),
                    "vertices": v.vertices[control].astype(np.float16),
                    "betas": v.betas,
                    "pose": v.pose,
                    "R": v.R.astype(np.float32),
                    "t": v.t.astype(np.float32),
                    "focal": np.float32(v.focal),
                    "offset": v.offset.astype(np.float32),
                }
            )
        write_shard(out / f"{k:05d}.npy", {key: np.stack([r[key] for r in rows]) for key in rows[0]})
    return out


def people(folder, count):
    """Held-out people in crops of 64 pixels."""
    return eval_batches(open_held_out(folder, MODELS), 64, count=count)


def the_truth(batch):
    """A method that knows."""
    return [torch.from_numpy(batch.rows["vertices"].astype(np.float32))]


def the_truth_for_ever(batch):
    """The same after each iteration."""
    return the_truth(batch) * ITERATIONS


def test_distance_to_a_surface():
    ball = trimesh.creation.icosphere(4)
    rng = np.random.default_rng(0)
    direction = rng.normal(size=(200, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    far = rng.uniform(0.7, 1.5, 200)
    incident = incident_faces(ball.faces)
    found = distance_to_surface(direction * far[:, None], ball.vertices, ball.faces, incident)
    np.testing.assert_allclose(found, np.abs(far - 1), atol=3e-3)


def test_the_truth_has_no_error_and_a_shift_is_none(folder):
    body = BodyModel.load(MODELS / "body" / "lvd_body.npz")
    fits = experiments.accuracy(the_truth, body, people(folder, 8))
    assert fits.v2v.shape == (8, 1) and fits.v2v.max() < 1e-2 and fits.v2s.max() < 1e-2 and fits.parts.max() < 1e-2

    def nearer(batch):  # every vertex 5 cm nearer along z
        units = torch.tensor([0, 0, 0.05]) * torch.from_numpy(1 / batch.metres_per_unit)[:, None, None]
        return [v + units for v in the_truth(batch)]

    near = experiments.accuracy(nearer, body, people(folder, 8))
    assert 0 < near.v2v.max() < 45 and (near.v2s <= near.v2v[:, 0]).all()  # perspective alone is left


def test_the_true_mesh_has_the_true_measurements(folder):
    body = BodyModel.load(MODELS / "body" / "lvd_body.npz")
    found = experiments.shapes(the_truth, BodyFitter(body), people(folder, 16))
    assert np.abs(found.found - found.true).mean() < 2.0  # cm
    assert found.slope("waist") == pytest.approx(1, abs=0.15) and found.slope("height") == pytest.approx(1, abs=0.1)


@pytest.mark.slow
def test_pictures_of_one_person_are_measured_together(folder):
    body = BodyModel.load(MODELS / "body" / "lvd_body.npz")

    def noisy(batch):
        return [v + 0.02 * torch.randn(len(v), 1, 3) * torch.randn(1, v.shape[1], 1) for v in the_truth(batch)]

    torch.manual_seed(0)
    single, together = (
        experiments.shapes(noisy, BodyFitter(body), people(folder, 48), pictures=n) for n in (1, PEOPLE)
    )
    assert len(together.found) == len(single.found) / PEOPLE
    assert np.abs(together.found - together.true).mean() < np.abs(single.found - single.true).mean()
    models = experiments.error_models(single, together, PEOPLE)
    assert models.keys() == ERRORS.keys() and models["waist"].mean == pytest.approx(together.ratios[1][:, 2].mean())
    assert single.explained("inseam") > single.explained("waist") and 0 <= single.within("waist") <= 1

    def strangers(batch):
        betas = np.random.default_rng(0).normal(size=batch.rows["betas"].shape)
        return replace(batch, rows={**batch.rows, "betas": betas})

    with pytest.raises(ValueError):
        experiments.shapes(noisy, BodyFitter(body), map(strangers, people(folder, 48)), pictures=2)


def test_before_a_webcam_a_lean_is_told_from_none(folder):
    """The truth does not lean; turned by 10° toward the camera it leans by 10° more, and is off by centimetres."""
    body = BodyModel.load(MODELS / "body" / "lvd_body.npz")
    upright = [b for b in people(folder, 32) if (webcam.lean(b.truth, body).abs() < 60).all()]
    found = webcam.measure(the_truth_for_ever, body, upright)
    assert max(np.abs(v).max() for v in found.values()) < 0.2

    c, s = np.cos(np.radians(10)), np.sin(np.radians(10))
    turn = torch.tensor([[1, 0, 0], [0, c, -s], [0, s, c]], dtype=torch.float32)

    class Turned(EvalBatch):
        def millimetres(self, vertices):
            return super().millimetres(vertices) @ turn.T

    leaning = webcam.measure(the_truth_for_ever, body, [Turned(**vars(batch)) for batch in upright])
    np.testing.assert_allclose(leaning["lean"], 10, atol=0.2)
    assert (leaning["all"] > 20).all() and (leaning["shown"] > 5).all()


def test_mask_noise_covers_its_share():
    mask = np.zeros((128, 128), np.uint8)
    mask[30:100, 50:80] = 255
    for share in (0, 0.05, 0.2):
        assert (robustness.mask_noise(share)(mask) != mask).mean() == pytest.approx(share, abs=0.005)


def test_jerk_and_lag():
    t = np.arange(120)

    def walk(t):
        return np.stack([300 * np.sin(t / 9), 200 * np.cos(t / 7), t * 3.0], 1)[:, None].repeat(41, 1)

    parabola = (t[:5, None, None] ** 2) * np.ones((1, 2, 3))
    assert jerk(np.zeros((5, 2, 3))) == 0 and jerk(parabola) == pytest.approx(2 * np.sqrt(3))
    path, late = walk(t), walk(t - 2.5)
    assert lag(late, path) == pytest.approx(2.5, abs=0.11) and lag(path, path) == 0
    smooth = OneEuro(Level((1.0, 0.0), (1.0, 0.0)))
    trailing = np.stack([smooth(p / 1000, int(i * 1e9 / 30)) for i, p in enumerate(path)]) * 1000
    assert 2.5 < lag(trailing, path) < 7


@pytest.mark.slow
def test_the_whole_report(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("lvd_live.evaluate.report.shape.SHAPES", 8)
    monkeypatch.setattr("lvd_live.evaluate.report.synthetic.PARTS", 8)
    for name, value in (("STARTS", 25), ("STARTED", 1), ("MASKED", 8)):
        monkeypatch.setattr(robustness, name, value)
    monkeypatch.setattr("lvd_live.evaluate.cli.HELD_OUT", folder)
    assert cli.main(["--report", str(tmp_path / "report"), "--count", "8"]) == 0
    text = (tmp_path / "report" / "report.md").read_text()
    titles = "Accuracy", "Shape", "Convergence", "Robustness", "Uncertainty"
    assert all(f"## {title}" in text for title in titles)
    for plot in ("second", "waist", "parts", "reliability"):
        assert cv2.imread(str(tmp_path / "report" / f"{plot}.png")).std() > 5
    rows = (tmp_path / "report" / "accuracy.csv").read_text().splitlines()
    assert rows[0].startswith("method,0°") and len(rows) == 7
    assert "on the outline" in rows[4] and "true landmarks" in rows[5]


def test_a_wrong_baseline_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("lvd_live.evaluate.cli.HELD_OUT", folder)
    (tmp_path / "b.safetensors").write_bytes(b"no")
    with pytest.raises(UserError, match="baseline"):
        cli.main(["--report", str(tmp_path / "report"), "--baseline", str(tmp_path / "b.safetensors")])
