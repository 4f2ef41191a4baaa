"""The square crop: its transforms, where it lies, how it stays steady, and resampling."""

import numpy as np
import pytest

from lvd_live.person import Crop, Person, affine, choose_crop, crop_for_box, mask_box, stay_or_move

IDENTITY = np.eye(2, 3, dtype=np.float32)


def person_in_box(x0: int, y0: int, x1: int, y1: int, shape=(300, 400), is_new=False, points=None) -> Person:
    mask = np.zeros(shape, np.float32)
    mask[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = 1
    landmarks = np.zeros((33, 3), np.float32)
    landmarks[:] = ((x0 + x1) / 2, (y0 + y1) / 2, 1) if points is None else points
    return Person(mask, IDENTITY, landmarks, np.zeros((33, 3), np.float32), 1.0, is_new)


def test_unit_and_pixel_transforms_agree_and_invert():
    crop = Crop(np.array([123.4, 77.7]), 91.3)
    points = np.random.default_rng(0).uniform(-50, 400, (100, 2))
    assert np.abs(crop.to_picture(crop.to_unit(points)) - points).max() < 1e-9
    for size in (64, 256):
        pixels = affine.apply(crop.T_crop_from_picture(size), points)
        x, y = crop.to_unit(points).T
        assert np.abs((2 * pixels[:, 0] + 1) / size - 1 - x).max() < 1e-5
        assert np.abs(1 - (2 * pixels[:, 1] + 1) / size - y).max() < 1e-5
        back = affine.apply(affine.invert(crop.T_crop_from_picture(size)), pixels)
        assert np.abs(back - points).max() < 1e-4


def test_the_crops_edges_are_at_plus_and_minus_one():
    crop = Crop(np.array([10.0, 20.0]), 5.0)
    assert np.allclose(crop.to_unit([[5, 15], [15, 25], [10, 15]]), [[-1, 1], [1, -1], [0, 1]])


@pytest.mark.parametrize("half", [20.0, 64.0, 150.0, 700.0, 3000.0])
def test_warping_a_ramp_gives_each_pixels_own_coordinate(half):
    """A picture that shows its own coordinates must come out as the transform says, at every zoom."""
    height, width = 900, 1100
    ramp = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    T = Crop(np.array([543.2, 451.9]), half).T_crop_from_picture(64)
    warped = affine.resample(ramp, T, 64)
    pixels = np.stack(np.meshgrid(np.arange(64), np.arange(64)), -1).reshape(-1, 2)
    expected = affine.apply(affine.invert(T), pixels)
    step = half / 32
    inside = ((expected > 2 * step) & (expected < np.array([width, height]) - 1 - 2 * step)).all(1)
    assert inside.sum() > 4
    assert np.abs(warped.reshape(-1, 2)[inside] - expected[inside]).max() < max(0.05 * step, 0.05)


def test_warp_is_black_outside_and_shrinking_does_not_alias():
    rows, columns = np.indices((720, 1280))
    checks = (((rows + columns) % 2) * 255).astype(np.uint8)
    picture = np.repeat(checks[:, :, None], 3, axis=2)
    crop = Crop(np.array([0.0, 360.0]), 600.0)
    small = crop.warp(picture, 128)
    assert small.shape == (128, 128, 3) and small.dtype == np.uint8
    assert not small[:, :62].any() and not small[:24].any() and not small[-24:].any()
    assert np.abs(small[30:98, 70:].astype(int) - 127).max() < 12


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (4320, 7680)])
def test_warp_takes_any_picture(shape):
    picture = np.full((*shape, 3), 200, np.uint8)
    crop = Crop((np.array(shape[::-1]) - 1) / 2, max(shape) / 2)
    assert crop.warp(picture, 64)[32, 32].max() > 90


def test_a_crop_far_from_the_picture_is_black():
    assert not Crop(np.array([-9000.0, 40.0]), 2000.0).warp(np.full((90, 90, 3), 255, np.uint8), 32).any()


def test_mask_box_on_its_own_turned_grid():
    mask = np.zeros((64, 64), np.float32)
    mask[10:20, 30:50] = 0.9
    mask[60, 2] = 0.9  # a speck
    assert np.allclose(mask_box(mask, IDENTITY), [29.5, 9.5, 49.5, 19.5], atol=1e-4)
    T_mask_from_picture = np.array([[0, 2, 1], [-2, 0, 60]], np.float32)  # a quarter turn, twice the size
    corners = affine.apply(affine.invert(T_mask_from_picture), [[29.5, 9.5], [49.5, 19.5]])
    assert np.allclose(mask_box(mask, T_mask_from_picture), [*corners.min(0), *corners.max(0)], atol=1e-4)
    assert mask_box(np.zeros((8, 8), np.float32), IDENTITY) is None
    assert np.allclose(mask_box((mask * 255).astype(np.uint8), IDENTITY), [29.5, 9.5, 49.5, 19.5], atol=1e-4)


def test_the_person_fills_four_fifths():
    crop = choose_crop(person_in_box(100, 50, 200, 250), None)
    assert np.allclose(crop.centre, [149.5, 149.5]) and crop.half == pytest.approx(125)


def test_warp_mask_lies_on_the_warped_picture():
    person = person_in_box(100, 50, 200, 250)
    picture = np.repeat((person.mask * 255).astype(np.uint8)[:, :, None], 3, axis=2)
    crop = choose_crop(person, None)
    mask = crop.warp_mask(person, 256)
    assert mask.dtype == np.uint8 and mask.max() == 255
    assert np.abs(mask.astype(int) - crop.warp(picture, 256)[:, :, 0]).max() <= 2


def test_limbs_beyond_the_picture_widen_the_crop_up_to_a_limit():
    box = np.array([100.0, 100.0, 200.0, 300.0])
    near = crop_for_box(box, np.array([[150.0, 400.0, 0.1]]))
    assert near.half == pytest.approx(1.25 * 150) and np.allclose(near.centre, [150, 250])
    far = crop_for_box(box, np.array([[150.0, 2000.0, 0.1]]))
    assert far.half == pytest.approx(2 * 1.25 * 100)
    assert np.abs(far.to_unit(box.reshape(2, 2))).max() <= 1
    assert far.centre[1] > 200  # it reaches for the limb
    assert crop_for_box(box, np.array([[150.0, 2000.0, 0.1]]), min_visibility=0.5).half == pytest.approx(125)


def test_crop_survives_strange_evidence():
    assert crop_for_box(np.array([5.0, 5.0, 5.0, 5.0])).half > 1
    assert np.isfinite(crop_for_box(np.array([0.0, 0, 9, 9]), np.array([[np.nan, 3, 1], [4, np.inf, 1]])).half)
    assert crop_for_box(None, np.array([[0.0, 0, 1], [100, 40, 1]])).half == pytest.approx(62.5)
    with pytest.raises(ValueError, match="mask box"):
        crop_for_box(None, None)


def test_a_still_person_keeps_the_crop():
    first = choose_crop(person_in_box(100, 50, 200, 250), None)
    assert choose_crop(person_in_box(104, 53, 203, 251), first) is first


def test_a_walking_person_is_followed_smoothly_and_stays_inside():
    crop, shifts = None, []
    for step in range(60):
        person = person_in_box(20 + 3 * step, 50, 120 + 3 * step, 250)
        before, crop = crop, choose_crop(person, crop)
        assert np.abs(crop.to_unit(mask_box(person.mask, IDENTITY).reshape(2, 2))).max() < 1
        if before is not None:
            shifts.append(abs(crop.centre[0] - before.centre[0]))
    assert max(shifts) < 10 and sum(shifts) > 150


def test_a_jump_a_new_person_and_a_fast_growth_move_the_crop_at_once():
    first = Crop(np.array([100.0, 100.0]), 50.0)
    far, grown = Crop(np.array([150.0, 100.0]), 50.0), Crop(np.array([100.0, 100.0]), 90.0)
    assert stay_or_move(first, far) is far and stay_or_move(first, grown) is grown
    person = person_in_box(104, 53, 203, 251, is_new=True)
    old = choose_crop(person_in_box(100, 50, 200, 250), None)
    assert np.allclose(choose_crop(person, old).centre, [153, 151.5])
