"""Networks for scans: voxels, aligned features, the field on volumes, presets, and the network as it is used."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lvd_live.errors import UserError
from lvd_live.lvd.descent import descend, descend_reference
from lvd_live.lvd.field import Field
from lvd_live.lvd.presets import SCAN_PRESETS
from lvd_live.lvd.uncertainty import spread
from lvd_live.lvd.volume.features import VolumeFeatures, sample_volume
from lvd_live.lvd.volume.network import VolumeLVD
from lvd_live.lvd.volume.pyramids import PaperPyramid, ScanPyramid, space_to_channels
from lvd_live.lvd.volume.voxels import density, squared_distance
from lvd_live.lvd.weights import load_network, load_volume_network, save_weights
from lvd_live.scan.cube import Cube, about_up
from lvd_live.scan.network import ScanNetwork

K = 60
SMALL = replace(SCAN_PRESETS["scan"], size=32, vertices=K, hidden=(32, 32))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return VolumeLVD(SMALL, torch.arange(K), torch.arange(90)[:, None].expand(-1, 8) % K, torch.full((90, 8), 0.125))


def cloud(count=500, seed=0):
    return (np.random.default_rng(seed).normal(size=(count, 3)) * [0.2, 0.5, 0.1]).astype(np.float32).clip(-1, 1)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_sampling_a_volume_is_trilinear(size, channels_last):
    volume = torch.randn(2, 3, size, size, size, requires_grad=True)
    laid = volume.to(memory_format=torch.channels_last_3d) if channels_last else volume
    points = torch.rand(2, 40, 3) * 2.4 - 1.2
    expected = F.grid_sample(volume, points[:, :, None, None], padding_mode="border", align_corners=False)
    torch.testing.assert_close(sample_volume(laid, points), expected[..., 0, 0].transpose(1, 2))
    weight = torch.randn(2, 40, 3)
    (ours,) = torch.autograd.grad((sample_volume(laid, points) * weight).sum(), volume)
    (theirs,) = torch.autograd.grad((expected[..., 0, 0].transpose(1, 2) * weight).sum(), volume)
    torch.testing.assert_close(ours, theirs)


def test_density_of_one_point_lies_where_the_point_is():
    size, at = 8, torch.tensor([[0.625, -0.125, -0.875]])  # a voxel's centre: x 6, y 3, z 0
    volume = density([at], size)
    assert volume.shape == (1, 1, 8, 8, 8)
    assert volume.nonzero().tolist() == [[0, 0, 0, 3, 6]]
    field = VolumeFeatures((volume,))
    assert field.at(at[None])[0, 0, 0] == volume.max()  # the projection of query points agrees with that of the cloud


def test_density_keeps_to_each_cloud_and_hardly_minds_the_number_of_points():
    a, b = torch.from_numpy(cloud(4000)), torch.from_numpy(cloud(300, 1))
    both = density([a, b], 16)
    torch.testing.assert_close(both[1:], density([b], 16))
    torch.testing.assert_close(density([torch.cat([a, a])], 16), both[:1])
    outside = torch.cat([b, torch.tensor([[3.0, 0, 0]])])
    torch.testing.assert_close(density([outside], 16), both[1:])


def test_a_quarter_turn_of_the_cloud_turns_volume_and_features(network):
    points, query = torch.from_numpy(cloud()), torch.rand(1, 30, 3) * 2 - 1
    R = torch.from_numpy(about_up(np.array([np.pi / 2])))[0]
    torch.testing.assert_close(R @ torch.tensor([0.0, 0.0, 1.0]), torch.tensor([1.0, 0.0, 0.0]), atol=1e-6, rtol=0)
    volume, turned = density([points], 32), density([points @ R.T], 32)
    # x' = z and z' = -x: the new volume's z runs along the old x, backward
    torch.testing.assert_close(turned, volume.transpose(2, 4).flip(2), atol=1e-3, rtol=1e-3)
    straight, around = VolumeFeatures((volume,)).at(query), VolumeFeatures((turned,)).at(query @ R.T)
    torch.testing.assert_close(around, straight, atol=2e-3, rtol=1e-3)


def test_squared_distance_is_that_of_the_nearest_point():
    volume = squared_distance([torch.tensor([[0.75, 0.75, 0.75]])], 4)
    assert volume[0, 0, 3, 3, 3] == 0
    assert volume[0, 0, 3, 3, 2] == pytest.approx(0.25)
    assert volume[0, 0, 0, 0, 0] == pytest.approx(3 * 1.5**2)


def test_space_to_channels_keeps_neighbours_together():
    volume = torch.arange(64.0).view(1, 1, 4, 4, 4)
    cells = space_to_channels(volume)
    assert cells.shape == (1, 8, 2, 2, 2)
    assert cells[0, :, 0, 0, 0].tolist() == [0, 1, 4, 5, 16, 17, 20, 21]


@pytest.mark.parametrize("size", [32, 48])
def test_the_scan_pyramid_has_four_scales_at_any_size(size):
    pyramid = ScanPyramid()
    features = pyramid(torch.rand(2, 1, size, size, size))
    assert [level.shape[-1] for level in features.levels] == [size // 2, size // 4, size // 8, size // 16]
    assert features.at(torch.zeros(2, 7, 3)).shape == (2, 7, pyramid.channels)
    assert features.whole.shape == (2, pyramid.whole)


def test_the_papers_network_has_the_papers_shapes():
    preset = SCAN_PRESETS["paper-scan"]
    with torch.device("meta"):
        network = VolumeLVD(preset)
        features = network.encode(torch.zeros(1, 1, preset.size, preset.size, preset.size))
    shapes = [(level.shape[1], level.shape[-1]) for level in features.levels]
    assert shapes == [(1, 128), (32, 64), (64, 32), (96, 16), (128, 8), (128, 4), (128, 2), (128, 1)]
    assert sum(isinstance(layer, torch.nn.Conv3d) for layer in network.modules()) == 14
    field = network.field
    layers = [field.layer1, field.layer2, *field.deeper, field.head]
    assert [(layer.in_features, layer.out_features) for layer in layers] == [
        (3 + 705, 2048), (2048, 4096), (4096, 4096), (4096, 4096), (4096, 4096), (4096, 20670),
    ]  # fmt: skip
    assert PaperPyramid().channels == 705


def test_descent_on_a_volume_is_the_papers_formula(network):
    features = network.encode(network.voxelise([torch.from_numpy(cloud()), torch.from_numpy(cloud(seed=1))]))
    start = torch.rand(2, 3) - 0.5
    fast = descend(network.field, features, start, iterations=3).vertices
    slow = descend_reference(network.field, features, start[:, None].expand(-1, K, -1), iterations=3)
    torch.testing.assert_close(fast, slow, atol=1e-5, rtol=1e-5)


def test_a_field_on_a_volume_clips_the_displacement_itself():
    field = Field(4, 16, 5, clip=0.3, solid=True)
    out, points = torch.randn(2, 5, 3), torch.randn(2, 5, 3)
    torch.testing.assert_close(field.displacement(out, points), 0.3 * torch.tanh(out / 0.3))


def test_many_starts_of_a_vertex_are_asked_at_once(network):
    features = network.encode(network.voxelise([torch.from_numpy(cloud())]))
    vertices, offsets, targets = torch.randn(1, K, 3) * 0.3, torch.randn(4, K, 3) * 0.05, torch.tensor([3, 50])
    found = spread(network.field, features, vertices, offsets, targets)
    ends = [vertices + offset + network.field.diagonal(vertices + offset, features) for offset in offsets[:, None]]
    expected = torch.stack(ends, 1)[:, :, targets].var(1).sum(-1).sqrt()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_weights_of_a_scan_network_are_read_back(network, tmp_path):
    path = tmp_path / "scan.safetensors"
    full = VolumeLVD(SCAN_PRESETS["scan"], torch.arange(1723), torch.zeros(6890, 8), torch.full((6890, 8), 0.125))
    save_weights(full, path, {"size": 48})
    again, _, about = load_volume_network(path)
    assert about == {"size": 48} and again.preset == SCAN_PRESETS["scan"]
    torch.testing.assert_close(again.field.head.bias, full.field.head.bias.half().float())
    assert ScanNetwork.load(path).size == 48
    assert path.stat().st_size < 16 * 2**20
    with pytest.raises(UserError, match="names no preset"):
        load_network(path)


def test_a_scan_network_takes_clouds_and_warm_starts(network):
    scan = ScanNetwork(network)
    clouds = [cloud(), cloud(seed=1)]
    ended = scan.descend(clouds, steps=2)
    assert ended.vertices.shape == (2, 90, 3) and ended.control.shape == (2, K, 3) and ended.sigma.shape == (2, 90)
    assert (ended.sigma >= 0).all() and len(ended.steps) == 2
    further = scan.descend(clouds, ended.control, steps=1, samples=0)
    np.testing.assert_allclose(further.control, scan.descend(clouds, steps=3, samples=0).control, atol=1e-5)
    assert further.sigma is None
    assert scan.descend(clouds, ended.vertices, steps=1).vertices.shape == (2, 90, 3)
    with pytest.raises(ValueError, match="start must be"):
        scan.descend(clouds, ended.control[:1])
    with pytest.raises(ValueError, match="a cloud must be"):
        scan.descend([np.zeros((0, 3))])


def test_turned_copies_answer_in_the_clouds_own_frame(network):
    scan, points = ScanNetwork(network), cloud()
    four = scan.descend_turned(points, copies=4, steps=2)
    assert four.vertices.shape == (4, 90, 3)
    R = about_up(np.array([np.pi / 2]))[0]
    one = scan.descend([points @ R.T], steps=2).vertices[0] @ R
    np.testing.assert_allclose(four.vertices[1], one, atol=2e-2)  # batches round otherwise in bfloat16
    warm = scan.descend_turned(points, 2, start=four.control[0], steps=1)
    assert warm.control.shape == (2, K, 3)


def test_a_cube_holds_the_scan_and_leads_back():
    points = cloud().astype(np.float64) * 90 + [100, 50, -700]
    cube = Cube.around(points)
    inside = cube.into(points)
    assert np.abs(np.percentile(inside, [0.2, 99.8], axis=0)).max() == pytest.approx(1 / 1.12, rel=1e-3)
    np.testing.assert_allclose(cube.out_of(inside), points, atol=1e-3)
    assert Cube.around(np.ones((3, 3))).half == 1
