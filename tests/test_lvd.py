"""Learned Vertex Descent: published shapes, and every rewrite equal to the plain formula."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from lvd_live.errors import UserError
from lvd_live.lvd.backbones.hourglass import upsample
from lvd_live.lvd.coarse import Coarse
from lvd_live.lvd.descent import descend, descend_reference
from lvd_live.lvd.features import CropFeatures, LazyFeatureMap, sample
from lvd_live.lvd.field import Field
from lvd_live.lvd.folded_field import FoldedField, per_vertex_head
from lvd_live.lvd.network import LANDMARKS, LVD, AlignedFeatures, landmark_maps, network_input, warp_map
from lvd_live.lvd.presets import PRESETS
from lvd_live.lvd.runtime import onednn
from lvd_live.lvd.runtime.graph_step import GraphStep
from lvd_live.lvd.runtime.runtime import Runtime
from lvd_live.lvd.uncertainty import perturbations, spread
from lvd_live.lvd.weights import load_network, load_weights, save_weights
from lvd_live.person.crop import Crop
from lvd_live.person.roi import Roi
from lvd_live.person.types import Person
from lvd_live.tracking.conditioning import region_in_crop

HEIGHT = 1.6  # of a body that fills the crop, crop units
TIGHT = 1e-4 * HEIGHT


@pytest.fixture(
    params=[(None, 0, 0), (0.288, 0, 0), (0.288, 7, 5)],
    ids=["published", "clipped", "clipped, with whole and landmarks"],
)
def field(request):
    torch.manual_seed(0)
    clip, whole, landmarks = request.param
    field = Field(features=40, hidden=64, vertices=150, clip=clip, whole=whole, landmarks=landmarks)
    with torch.no_grad():
        for p in field.parameters():
            p.add_(0.05 * torch.randn_like(p))
    return field


def points_and_crop(batch=2, n=150, seed=1):
    """Points of which about a third lie outside the picture, and crops with five landmarks, one of them missing."""
    g = torch.Generator().manual_seed(seed)
    landmarks = torch.rand(batch, 5, 4, generator=g)
    landmarks[0, 2, 3] = 0
    points = 1.3 * (2 * torch.rand(batch, n, 3, generator=g) - 1)
    features, whole = torch.randn(batch, 40, 12, 12, generator=g), torch.randn(batch, 7, generator=g)
    return points, CropFeatures(features, whole, landmarks)


def test_paper_preset_has_the_published_size():
    network = LVD(PRESETS["paper"])
    millions = sum(p.numel() for p in network.parameters()) / 1e6
    assert millions == pytest.approx(25.84, abs=0.05)
    assert network.backbone.channels == 1024 and network.field.vertices == 6890
    layers = network.field.layer1, network.field.layer2, network.field.head
    assert [tuple(layer.weight.shape) for layer in layers] == [(512, 1027), (512, 512), (20670, 512)]
    with torch.inference_mode():
        assert network.encode(torch.zeros(1, 4, 64, 64)).features.shape == (1, 1024, 32, 32)


@pytest.mark.parametrize("size", [128, 192, 256])
def test_live_preset_shapes(size):
    network = LVD(PRESETS["live"]).eval()
    with torch.inference_mode():
        features = network.encode(torch.zeros(1, 4, size, size), torch.zeros(1, len(LANDMARKS), 4)).features
        without_landmarks = network.encode(torch.zeros(1, 4, size, size)).features
    assert features.shape == (1, network.backbone.channels, size // 4, size // 4)
    torch.testing.assert_close(without_landmarks, features)  # as maps of zeros


def test_detector_features_are_drawn_where_the_mask_is():
    """A mask warped by pixels and the same mask as a feature map, warped by its region, agree."""
    rng = np.random.default_rng(0)
    mask = np.zeros((64, 64), np.float32)
    mask[12:50, 20:41] = 1
    roi = Roi(210.0, 160.0, 190.0, 0.4)
    landmarks, world = np.zeros((33, 3), np.float32), rng.normal(size=(33, 3)).astype(np.float32)
    person = Person(mask, roi.T_grid_from_picture(64), landmarks, world, 1.0, True)
    crop = Crop(np.array([200.0, 170.0]), 130.0)
    region = torch.from_numpy(region_in_crop(person.T_mask_from_picture, 64, crop)[None])
    drawn = warp_map(torch.from_numpy(mask[None, None]), region, 96)[0, 0].numpy()
    assert np.abs(drawn - crop.warp_mask(person, 96) / 255.0).mean() < 0.01


def test_maps_and_landmarks_reach_the_features():
    torch.manual_seed(0)
    network = LVD(PRESETS["live"]).eval()
    picture, landmarks = torch.zeros(1, 4, 64, 64), torch.rand(1, len(LANDMARKS), 4)
    maps = AlignedFeatures(
        torch.randint(0, 99, (1, 48, 32, 32), dtype=torch.uint8),
        torch.randint(0, 99, (1, 288, 8, 8), dtype=torch.uint8),
        torch.tensor([[[1.0, 0, 0], [0, -1, 0]]]),
    )
    conditioning = (None, None), (landmarks, None), (None, maps), (landmarks, maps)
    with torch.inference_mode():
        crops = [network.encode(picture, *given) for given in conditioning]
        nothing = network.encode(picture, None, AlignedFeatures(maps.fine * 0, maps.coarse * 0, maps.region))
    torch.testing.assert_close(nothing.features, crops[0].features)
    for a, b in combinations(crops, 2):
        assert not torch.allclose(a.features, b.features, atol=1e-3) and not torch.equal(a.whole, b.whole)


class Still(FoldedField):
    """Moves every vertex by the fraction `pull` of its way to 0."""

    def __init__(self, pull):
        torch.nn.Module.__init__(self)
        self.pull = pull

    def diagonal(self, points, prepared, targets):
        return -points * self.pull


@pytest.mark.parametrize("pull", [0.0, 0.75, 1.0])
def test_uncertainty_is_what_a_step_leaves_of_the_perturbation(pull):
    vertices = torch.rand(2, 500, 3)
    targets = torch.arange(1, 500, 2)
    u = spread(Still(pull), None, vertices, perturbations(16, 500, sigma=0.1), targets)
    assert u.shape == (2, 250)
    assert float(u.mean()) == pytest.approx(0.1 * 3**0.5 * (1 - pull), rel=0.03, abs=1e-6)


def test_sampling_reads_the_pixel_under_the_point():
    features = torch.arange(16.0).view(1, 1, 4, 4)
    at = torch.tensor([[[-0.75, 0.75, 0.3], [0.25, -0.75, 0.0], [0.0, 0.75, 0.0], [3.0, 0.0, 0.0]]])
    torch.testing.assert_close(sample(features, at)[0, :, 0], torch.tensor([0.0, 14.0, 1.5, 0.0]))


def assert_near(actual, expected):
    """Equal up to rounding, for positions and displacements in crop units."""
    torch.testing.assert_close(actual, expected, atol=TIGHT, rtol=0)


def test_diagonal_of_all_queries(field):
    points, crop = points_and_crop()
    everything = field(points, crop, torch.arange(150))
    assert everything.shape == (2, 150, 150, 3)
    assert_near(field.diagonal(points, crop), everything.diagonal(dim1=1, dim2=2).transpose(1, 2))


def test_a_subset_of_targets(field):
    points, crop = points_and_crop()
    some = torch.tensor([3, 77, 149, 3])
    assert_near(field(points, crop, some), field(points, crop, torch.arange(150))[:, :, some])
    assert_near(field.diagonal(points[:, some], crop, some), field.diagonal(points, crop)[:, some])


def test_folding_is_exact_inside_and_outside_the_picture(field):
    points, crop = points_and_crop()
    assert (points[..., :2].abs() > 1).any(-1).float().mean() > 0.2
    folded = FoldedField(field)
    assert_near(folded.diagonal(points, folded.prepare(crop)), field.diagonal(points, crop))


def test_landmarks_without_confidence_are_no_landmarks():
    torch.manual_seed(0)
    field = Field(features=40, hidden=64, vertices=150, clip=0.288, landmarks=5)
    points, crop = points_and_crop()
    nothing = CropFeatures(crop.features, None, crop.landmarks * torch.tensor([1.0, 1, 1, 0]))
    torch.testing.assert_close(field.diagonal(points, nothing), field.diagonal(points, CropFeatures(crop.features)))
    with_landmarks = field.diagonal(points, CropFeatures(crop.features, None, crop.landmarks))
    assert (with_landmarks - field.diagonal(points, nothing)).abs().max() > 0.01


def test_a_lazy_map_is_not_for_the_plain_field():
    field = Field(features=40, hidden=64, vertices=150)
    points, crop = points_and_crop()
    with pytest.raises(TypeError, match="FoldedField"):
        field.diagonal(points, CropFeatures(LazyFeatureMap((crop.features,), torch.nn.Identity())))


def test_first_iteration_from_a_point(field):
    _, crop = points_and_crop()
    folded = FoldedField(field)
    prepared = folded.prepare(crop)
    start = torch.tensor([[0.1, -0.2, 0.05], [1.4, 0.0, 0.0]])
    everywhere = start[:, None].expand(-1, 150, -1).contiguous()
    assert_near(folded.diagonal_from_point(start, prepared), folded.diagonal(everywhere, prepared))


@pytest.mark.parametrize("iterations", [1, 6])
def test_descent_equals_the_plain_formula(field, iterations):
    _, crop = points_and_crop()
    folded = FoldedField(field)
    start, options = torch.zeros(2, 3), {"iterations": iterations, "relaxation": 1.0 + 0.1 * iterations}
    with torch.inference_mode():
        reference = descend_reference(field, crop, start[:, None].expand(-1, 150, -1), **options)
        fast = descend(folded, folded.prepare(crop), start, **options)
    assert len(fast.steps) == iterations
    assert_near(fast.vertices, reference)


def test_a_coarse_step_moves_every_vertex_as_those_near_it(field):
    points, crop = points_and_crop()
    folded, place = FoldedField(field), np.random.default_rng(0).normal(size=(150, 3))
    prepared, coarse = folded.prepare(crop), Coarse.of(place, torch.device("cpu"))
    asked, moved = folded.diagonal(points, prepared), coarse.displacement(folded, prepared, points)
    torch.testing.assert_close(moved[:, coarse.targets], asked[:, coarse.targets], atol=1e-3, rtol=0)
    known = asked[:, coarse.targets][:, coarse.near]  # (2, 150, 4, 3)
    assert (moved >= known.amin(2) - 1e-5).all() and (moved <= known.amax(2) + 1e-5).all()
    assert len(set(coarse.targets.tolist())) == 9


@pytest.mark.parametrize("iterations", [1, 2, 3])
def test_a_coarse_step_is_the_first_iteration_and_never_the_last(field, iterations):
    points, crop = points_and_crop()
    folded = FoldedField(field)
    prepared, shift = folded.prepare(crop), torch.tensor([0.0, 0.003, 0.004])
    first = descend(folded, prepared, points, iterations=iterations, relaxation=1.5, first=lambda v: shift.expand_as(v))
    rest = descend(folded, prepared, points + 1.5 * shift, iterations=max(iterations - 1, 1), relaxation=1.5)
    torch.testing.assert_close(first.vertices, rest.vertices)
    assert first.steps == pytest.approx((0.0075, *rest.steps))


def random_crops():
    """Two crops of 64 pixels: picture and mask."""
    picture = torch.randint(0, 255, (2, 64, 64, 3), dtype=torch.uint8)
    return picture, torch.randint(0, 255, (2, 64, 64), dtype=torch.uint8)


def test_whole_paper_network_with_exact_rewrites():
    """At a small crop, with few vertices, so that the N×N formula fits a test."""
    torch.manual_seed(1)
    network = LVD(replace(PRESETS["paper"], vertices=60)).eval()
    picture, mask = (x[:1] for x in random_crops())
    with torch.inference_mode():
        crop = network.encode(network_input(picture, mask))
        reference = descend_reference(network.field, crop, torch.zeros(1, 60, 3), iterations=5)
    runtime = Runtime(network, device="cpu", engine="float32")
    fast = runtime.descend(runtime.encode(picture.numpy(), mask.numpy(), None), None, iterations=5).vertices
    assert_near(fast, reference)


@pytest.mark.parametrize("shape", [(1, 8, 64, 64), (2, 5, 6, 20), (1, 3, 32, 4)])
def test_upsampling_is_bicubic(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        upsample(x), F.interpolate(x, scale_factor=2, mode="bicubic", align_corners=True), atol=1e-5, rtol=1e-5
    )
    x.requires_grad_()
    upsample(x).sum().backward()
    assert torch.isfinite(x.grad).all()


def with_statistics(preset=PRESETS["live"]):
    """A network of 60 vertices whose batch norms have statistics, and the arrays to encode: `Runtime.encode`'s four."""
    torch.manual_seed(0)
    network = LVD(replace(preset, vertices=60))
    picture, mask = random_crops()
    landmarks = torch.rand(2, 33, 4)
    maps = (
        torch.randint(0, 99, (2, 48, 32, 32), dtype=torch.uint8),
        torch.randint(0, 99, (2, 288, 8, 8), dtype=torch.uint8),
        torch.tensor([[[1.0, 0.1, 0], [0, -1, 0.2]]] * 2),
    )
    x = network_input(picture, mask)
    for _ in range(3):
        network.encode(x + torch.randn_like(x), landmarks[:, list(LANDMARKS)], AlignedFeatures(*maps))
    return network.eval(), (picture.numpy(), mask.numpy(), landmarks.numpy(), tuple(m.numpy() for m in maps))


def encode_plainly(network, picture, mask, landmarks=None, maps=None):
    """What `Runtime.encode` is to equal: the network as it is, and its field folded."""
    points = None if landmarks is None else torch.from_numpy(landmarks[:, list(LANDMARKS)])
    aligned = None if maps is None else AlignedFeatures(*map(torch.from_numpy, maps))
    with torch.inference_mode():
        crop = network.encode(network_input(torch.from_numpy(picture), torch.from_numpy(mask)), points, aligned)
        return FoldedField(network.field).prepare(crop)


def all_rows(prepared):
    """A prepared crop's rows, those of a lazy map computed."""
    with torch.inference_mode():
        return prepared.table(torch.arange(prepared.rows.shape[:2].numel(), dtype=torch.int32))


PAPER_WITH_CONDITIONING = replace(PRESETS["paper"], name="paper with conditioning", landmarks=True)


RUNS = [
    pytest.param(preset, engine, packs, marks=[pytest.mark.slow] * ("paper" in preset.name and engine == "onnxruntime"))
    for engine, packs in (("float32", True), ("float32", False), ("onnxruntime", False))
    for preset in (*PRESETS.values(), PAPER_WITH_CONDITIONING)
]


@pytest.mark.parametrize("preset, engine, packs", RUNS, ids=lambda value: getattr(value, "name", str(value)))
def test_a_runtime_equals_the_network(preset, engine, packs, monkeypatch):
    """Batch norm folded, first layer of the field absorbed by the backbone, layers packed or not, or by onnxruntime."""
    if packs and not onednn.available(torch.device("cpu")):
        pytest.skip("this PyTorch has no oneDNN for this processor")
    monkeypatch.setattr(onednn, "available", lambda device: packs)
    network, (picture, mask, *conditioning) = with_statistics(preset)
    runtime = Runtime(network, device="cpu", engine=engine)
    for given in ((), conditioning):
        reference = encode_plainly(network, picture, mask, *given)
        prepared = runtime.encode(picture, mask, *given)
        assert prepared.size == reference.size
        torch.testing.assert_close(all_rows(prepared), reference.rows.flatten(0, 1), atol=2e-5, rtol=1e-4)


@torch.inference_mode()
def test_a_lazy_map_is_computed_where_vertices_are():
    if not onednn.available(torch.device("cpu")):
        pytest.skip("this PyTorch has no oneDNN for this processor")
    network, (picture, mask, _, _) = with_statistics(PRESETS["paper"])
    runtime = Runtime(network, device="cpu", engine="float32")
    complete, prepared = (runtime.encode(picture, mask) for _ in range(2))
    all_rows(complete)
    corner = torch.full((2, 60, 3), 0.8) + 0.02 * torch.rand(2, 60, 3)
    corner[1] *= -1
    assert_near(runtime.field.diagonal(corner, prepared), runtime.field.diagonal(corner, complete))
    grid = prepared.lazy.made[:, :-4].unflatten(1, (prepared.size + 2, -1))
    made = grid[:, 1:-1, 1:-1].flatten(1).sum(1)
    assert (1 <= made).all() and (made <= 9).all()
    anywhere = torch.rand(2, 60, 3) * 2.4 - 1.2
    assert_near(runtime.field.diagonal(anywhere, prepared), runtime.field.diagonal(anywhere, complete))


@pytest.mark.parametrize("shape", [(1, 1, 6, 8), (1, 1, 7, 8), (2, 1, 6, 8), (1, 3, 6, 8)])
def test_every_vertex_has_its_own_head(shape):
    weight, hidden = torch.randn(shape[2], 3, shape[3]), torch.randn(shape)
    torch.testing.assert_close(per_vertex_head(weight, hidden), (weight * hidden[..., None, :]).sum(-1))


def test_half_precision_stays_near():
    if not onednn.has_bfloat16(torch.device("cpu")):
        pytest.skip("this processor has no bfloat16")
    network, given = with_statistics()
    exact, rough = (
        runtime.descend(runtime.encode(*given), None, iterations=4).vertices
        for runtime in (Runtime(network, device="cpu", engine=engine) for engine in ("float32", "bfloat16"))
    )
    assert rough.dtype == torch.float32
    assert 0 < (exact - rough).norm(dim=-1).mean() < 0.01 * exact.std()


def one_of(i, picture, mask, landmarks, maps):
    """The i-th of a batch of crops, as a batch of one."""
    return picture[i : i + 1], mask[i : i + 1], landmarks[i : i + 1], tuple(m[i : i + 1] for m in maps)


@pytest.mark.parametrize("engine", ["float32", "onnxruntime"])
def test_a_batch_is_its_pictures(engine):
    network, given = with_statistics()
    runtime = Runtime(network, device="cpu", engine=engine)
    together = runtime.descend(runtime.encode(*given), None, iterations=4).vertices
    for i in range(2):
        alone = runtime.descend(runtime.encode(*one_of(i, *given)), None, iterations=4).vertices[0]
        torch.testing.assert_close(alone, together[i], atol=1e-5, rtol=0)


def runtime_and_start():
    """A runtime for crops of 64 pixels, what to encode, and a mesh to start from, (2, 60, 3)."""
    network, given = with_statistics()
    network.preset = replace(network.preset, size=64)
    start = np.random.default_rng(0).normal(0, 0.3, (2, 60, 3)).astype(np.float32)
    return Runtime(network, device="cpu", engine="float32"), given, start


def by_name(picture, mask, landmarks, maps):
    return {"picture": picture, "mask": mask, "landmarks": landmarks, "maps": maps}


def test_a_step_is_what_its_parts_do():
    """Two sequences side by side, each warm from its own mesh: fit and uncertainty as of each alone."""
    runtime, given, start = runtime_and_start()
    some = np.arange(1, 60, 8)
    step = GraphStep(runtime, 2, iterations=3, count=4, asked=len(some))
    vertices, u, steps = step(start=start, targets=some, **by_name(*given))
    offsets = perturbations(4, 60)
    for i in range(2):
        prepared = runtime.encode(*one_of(i, *given))
        fit = runtime.descend(prepared, torch.from_numpy(start[i : i + 1]), iterations=3)
        np.testing.assert_allclose(vertices[i], fit.vertices[0], atol=2e-5)
        u_alone = runtime.uncertainty(prepared, fit.vertices, offsets, torch.from_numpy(some))[0]
        np.testing.assert_allclose(u[i], u_alone, atol=2e-5)
        np.testing.assert_allclose(steps[i], fit.steps, atol=1e-5)
    again = GraphStep(runtime, 2, iterations=1)(start=vertices, targets=some[:0], **by_name(*given))
    assert again[0].shape == vertices.shape and again[1].shape == (2, 0) and not np.allclose(again[0], vertices)


def test_a_graph_could_hold_a_step():
    """It copies no constant to the device and reads nothing back: neither can be captured on CUDA."""
    runtime, given, start = runtime_and_start()
    step, some = GraphStep(runtime, 2, asked=8), np.arange(0, 60, 8)
    step(start=start, targets=some, **by_name(*given))
    operations: set[str] = set()

    class Names(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            operations.add(function.overloadpacket.__name__)
            return function(*args, **(kwargs or {}))

    with torch.inference_mode(), Names():
        step.forward()
    assert any("embedding_bag" in name for name in operations)
    assert not operations & {"lift_fresh", "_local_scalar_dense", "nonzero", "is_nonzero"}


def test_a_vertex_that_is_no_number_spoils_no_other(field):
    points, crop = points_and_crop()
    folded = FoldedField(field)
    good = folded.diagonal(points, folded.prepare(crop))
    points[0, 3], points[1, 7, 1] = float("nan"), float("inf")
    bad = folded.diagonal(points, folded.prepare(crop))
    assert not torch.isfinite(bad[0, 3]).any()
    bad[0, 3], bad[1, 7] = good[0, 3], good[1, 7]
    torch.testing.assert_close(bad, good)


def test_descent_stops_when_it_stands_still():
    folded = FoldedField(Field(8, 16, 20, clip=0.288))
    torch.nn.init.zeros_(folded.w_head)  # every vertex belongs at the depth that its bias says
    folded.b_head.uniform_(-0.5, 0.5)[:, :2] = 0
    prepared = folded.prepare(CropFeatures(torch.zeros(1, 8, 4, 4)))
    result = descend(folded, prepared, torch.zeros(1, 3), iterations=50, tolerance=1e-4)
    assert 2 < len(result.steps) < 20 and result.steps[-1] < 1e-4
    assert list(result.steps) == sorted(result.steps, reverse=True)
    torch.testing.assert_close(result.vertices[0], folded.b_head, atol=1e-4, rtol=0)
    assert max(result.steps) <= 0.288 * 3**0.5


def test_network_input_hides_the_background():
    picture = torch.full((1, 4, 4, 3), 200, dtype=torch.uint8)
    mask = torch.zeros(1, 4, 4, dtype=torch.uint8)
    mask[0, 1, 2] = 255
    x = network_input(picture, mask)
    assert x.shape == (1, 4, 4, 4)
    assert (x[0, :3, 0] == 0).all() and x[0, 3, 1, 2] == 1 and x[0, 3, 0, 0] == -1
    assert x[0, 0, 1, 2] == pytest.approx((200 / 255 - 0.485) / 0.229, abs=1e-5)


def test_landmark_maps_peak_where_the_landmark_is():
    size = 48
    landmarks = torch.tensor([[[0.5, 0.25, -0.3, 1.0], [0.0, 0.0, 0.2, 0.0]]])
    maps = landmark_maps(landmarks, size)
    assert maps.shape == (1, 4, size, size) and not maps[0, [1, 3]].any()  # without confidence, nothing
    row, column = divmod(int(maps[0, 0].argmax()), size)
    x, y = (2 * column + 1) / size - 1, 1 - (2 * row + 1) / size
    assert (x, y) == pytest.approx((0.5, 0.25), abs=1.1 / size)
    torch.testing.assert_close(maps[0, 2], -0.3 * maps[0, 0])


def test_landmark_maps_hold_no_denormal_numbers():
    """Processors multiply these a hundred times slower: a third of onnxruntime's time went there."""
    landmarks = torch.rand(1, 23, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    landmarks[..., 3] = 1
    maps = landmark_maps(landmarks, 48)
    assert maps[maps != 0].abs().min() > torch.finfo(torch.float32).tiny
    assert (maps == 0).any() and (maps[0, :23].amax((1, 2)) > 0.8).all()  # a cell is 0.8 sigma wide


def test_weights_round_trip_and_are_small(tmp_path):
    network = LVD(PRESETS["live"], torch.arange(1723), torch.zeros(6890, 8), torch.full((6890, 8), 0.125)).eval()
    path = tmp_path / "live.safetensors"
    save_weights(network, path, {"hours": 1})
    assert path.stat().st_size < 16 * 2**20
    again, sha256, about = load_network(path)
    assert len(sha256) == 64 and again.preset == network.preset
    for key, value in network.state_dict().items():
        torch.testing.assert_close(again.state_dict()[key].float(), value.float(), atol=2e-3, rtol=2e-3)


def test_wrong_weight_files(tmp_path):
    with pytest.raises(UserError, match="no weights"):
        load_network(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(UserError, match="cannot be read"):
        load_network(tmp_path / "text.safetensors")
    small = LVD(replace(PRESETS["live"], vertices=60))
    save_weights(small, tmp_path / "small.safetensors", {})
    with pytest.raises(UserError, match="another network"):
        load_weights(LVD(PRESETS["live"]), tmp_path / "small.safetensors")


def test_preset_and_control_must_agree():
    with pytest.raises(ValueError, match="1723"):
        LVD(PRESETS["live"], torch.arange(10))


def test_numbers_survive_a_hostile_picture():
    """A black picture, an empty mask, landmarks far away: the mesh stays finite."""
    torch.manual_seed(0)
    runtime = Runtime(LVD(replace(PRESETS["live"], vertices=60)), device="cpu", engine="float32")
    landmarks = np.full((1, 33, 4), 4.0, np.float32)
    prepared = runtime.encode(np.zeros((1, 64, 64, 3), np.uint8), np.zeros((1, 64, 64), np.uint8), landmarks)
    assert torch.isfinite(runtime.descend(prepared, None, iterations=8).vertices).all()
