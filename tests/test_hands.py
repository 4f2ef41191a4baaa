"""Hands: seen by the networks, followed, fitted within what a hand can do, and joined to the mesh."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from lvd_live.body.fingers import blend, chained, finger_transforms
from lvd_live.body.hand_anatomy import FLEX, THUMB_CONE, THUMB_FLEX, Angles, HandAnatomy
from lvd_live.body.hand_solver import HandSolver
from lvd_live.cli.parser import make_parser
from lvd_live.lift.finder import make_finder
from lvd_live.paths import DEMO, MODELS
from lvd_live.person import HandFinder, WithHands, affine
from lvd_live.person.hands import (
    WAIT,
    Raw,
    carried,
    region_of,
    search_region,
    with_arm,
)
from lvd_live.person.onnx import open_network
from lvd_live.person.types import Hand, Person, describe
from lvd_live.sources.frame import Frame
from lvd_live.tracking.hand_filter import RELAX_S, HandFilter
from lvd_live.tracking.hand_fit import BEND, CARRIED, RELAXED, SEEN, STD_UNSEEN, HandsFit, split
from lvd_live.tracking.options import TrackerOptions
from lvd_live.tracking.tracker import Tracker

K = np.array([[900.0, 0, 320], [0, 900, 240], [0, 0, 1]])


@pytest.fixture(scope="module")
def flat(body, rig):
    return rig.flattened(body.v_template.numpy().astype(float))


@pytest.fixture(scope="module")
def networks():
    return HandFinder(MODELS / "hands")


@pytest.fixture(scope="module")
def film():
    """The demo's first pictures."""
    capture, pictures = cv2.VideoCapture(str(DEMO)), []
    while len(pictures) < 10:
        pictures.append(np.ascontiguousarray(capture.read()[1][..., ::-1]))
    return pictures


def standing(length=80.0, visibility=1.0, is_new=False):
    """A person with arms to the sides, whose hands are `length` pixels long."""
    scale = length / 0.19
    world = np.zeros((33, 3), np.float32)
    world[11:13, 0], world[11:13, 1] = (0.2, -0.2), -0.5
    world[13:15, 0], world[13:15, 1] = (0.45, -0.45), -0.5
    world[15:17, 0], world[15:17, 1] = (0.7, -0.7), -0.5
    world[17:23] = world[15:17].repeat(3, 0)[[0, 3, 1, 4, 2, 5]] + [0, 0, 0]
    world[17:23:2, 0] += 0.09
    world[18:23:2, 0] -= 0.09
    world[23:25, 0], world[25:27, 1], world[27:29, 1] = (0.1, -0.1), 0.45, 0.9
    landmarks = np.column_stack([world[:, :2] * scale + [320, 240], np.full(33, visibility)]).astype(np.float32)
    return Person(np.ones((2, 2), np.float32), np.eye(2, 3, dtype=np.float32), landmarks, world, 1.0, is_new)


def flat_hand_in_crop():
    """21 points of a hand that points up in a crop of 224 pixels."""
    points = np.zeros((21, 3), np.float32)
    points[0] = (112, 180, 0)
    for finger in range(5):
        for k in range(4):
            points[1 + 4 * finger + k] = (72 + 20 * finger, 130 - 22 * k, 0)
    return points


class Watched(HandFinder):
    """A HandFinder whose networks are stubs that answer `answer`, and count how often they are asked."""

    def __init__(self, *, both=False, presence=0.9, sides=(0.0, 1.0)):
        self.both, self.presence, self.sides, self.looks, self.searches = both, presence, sides, [], 0
        self.flat = flat_hand_in_crop()
        self.reset()

    def look(self, pixels):
        raise NotImplementedError

    def _seen_in(self, picture, roi, person, side, length):
        self.looks.append(side)
        self.look = lambda _: Raw(self.flat, self.presence, self.sides[side], flat_hand_in_crop() / 1000)
        return super()._seen_in(picture, roi, person, side, length)

    def _searched(self, picture, region):
        self.searches += 1
        return region_of(np.array(flat_hand_in_crop()) + [region.centre_x - 112, region.centre_y - 112, 0])


PICTURE = np.zeros((480, 640, 3), np.uint8)


def test_one_hand_a_picture_in_turns_or_both():
    for both, expected in ((False, 1), (True, 2)):
        finder = Watched(both=both)
        for _ in range(3):
            finder.find(PICTURE, standing())
        assert finder.words == ("seen", "seen")
        finder.looks.clear()
        for _ in range(6):
            hands = finder.find(PICTURE, standing())
        assert len(finder.looks) == 6 * expected and finder.looks.count(0) == finder.looks.count(1)
        assert all(hand is not None for hand in hands) and {h.age for h in hands} == ({0, 1} if not both else {0})


class Resting(Watched):
    """A Watched whose left hand alone is there, and lies where it lay."""

    def _seen_in(self, picture, roi, person, side, length):
        self.looks.append(side)
        points = flat_hand_in_crop() + np.float32([400, 100, 0])
        return Hand(points, points / 1000, 0.9, 0.9, length, person.landmarks[15, :2]) if side == 0 else None


def test_a_hand_is_looked_at_every_second_picture_or_third():
    finder = Watched(sides=(0.0, 0.0))  # the right hand is never there; the left one is never where it was
    finder.find(PICTURE, standing())
    ages = [finder.find(PICTURE, standing())[0].age for _ in range(8)]
    assert ages.count(0) in (3, 4) and max(ages) in (1, 2)
    resting = Resting()
    resting.find(PICTURE, standing())
    ages = [resting.find(PICTURE, standing())[0].age for _ in range(24)]
    assert max(ages) in (2, 3) and 7 <= ages.count(0) <= 9


def test_a_hand_that_is_not_there_is_searched_for_twice_a_second():
    finder = Watched(presence=0.1)
    for _ in range(4 * WAIT):
        assert finder.find(PICTURE, standing()) == (None, None)
    assert finder.words == ("not seen", "not seen") and 7 <= finder.searches <= 10


@pytest.mark.parametrize("person, word", [(standing(20), "too small"), (standing(visibility=0.1), "hidden")])
def test_no_network_runs_where_there_is_nothing_to_see(person, word):
    finder = Watched()
    assert finder.find(PICTURE, person) == (None, None) and not finder.looks and finder.words == (word, word)


def test_left_and_right_are_the_poses():
    """A hand that the network takes for the other one is not given away; one that it is unsure of is followed."""
    assert Watched(both=True, sides=(1.0, 1.0)).find(PICTURE, standing())[0] is None
    unsure = Watched(both=True, sides=(0.7, 1.0))
    left, right = unsure.find(PICTURE, standing())
    assert left is None and right is not None and unsure.words == ("unsure", "seen")
    unsure.find(PICTURE, standing())
    assert unsure.searches == 2  # none again: it is followed


def test_regions_lie_along_the_hand():
    left = search_region(standing().landmarks, 0, 80.0)
    assert left.rotation == pytest.approx(np.pi / 2, abs=0.1)  # the left arm points to the right of the picture
    points = flat_hand_in_crop()
    roi = region_of(points)
    inside = affine.apply(roi.T_grid_from_picture(224), points[:, :2])
    assert (inside > 20).all() and (inside < 204).all() and abs(roi.rotation) < 0.15
    arm = np.array([[100.0, 100], [150, 100]])
    moved = with_arm(roi, arm, np.array([[100.0, 100], [100, 150]]))  # the forearm turned by 90 degrees
    assert moved.rotation - roi.rotation == pytest.approx(np.pi / 2) and moved.size == roi.size
    hand = Hand(points, points / 1000, 1.0, 1.0, 80.0, np.array([5.0, 5.0]))
    assert np.allclose(carried(hand, np.array([8.0, 4.0])).landmarks[:, :2], points[:, :2] + [3, -1])


def test_depth_is_in_the_pictures_pixels():
    """MediaPipe's graph divides the network's depth by 0.4 (`normalize_z`): palms are as long however they turn."""
    finder = Watched(both=True)
    tilted = flat_hand_in_crop()
    tilted[:, 2] = 0.4 * np.linspace(0, 50, 21)
    finder.flat = tilted
    left, _ = finder.find(PICTURE, standing())
    scale = np.linalg.norm(left.landmarks[9, :2] - left.landmarks[0, :2]) / np.linalg.norm(
        tilted[9, :2] - tilted[0, :2]
    )
    np.testing.assert_allclose(left.landmarks[:, 2], scale * np.linspace(0, 50, 21), rtol=1e-3, atol=1e-3)


def test_hands_of_a_real_person_are_followed(film):
    finder = make_finder(quality="live", hands=True)
    seen = [finder.find(picture).hands for picture in film]
    assert sum(left is not None for left, _ in seen) >= 8 and sum(right is not None for _, right in seen) >= 8
    left, right = seen[0]
    assert np.hypot(*(left.landmarks[0, :2] - left.pose_wrist)) < left.length
    assert describe(finder)["finder"] == "BlazePoseFinder" and describe(finder)["hands"]
    assert isinstance(finder, WithHands) and make_finder(quality="live").find(film[0]).hands is None


def test_weights_of_eight_bits_change_a_fraction_of_a_pixel(film, networks, shared):
    original = shared / "assets" / "mediapipe_hands" / "hand_landmark_full.onnx"
    if not original.is_file():
        pytest.skip("the original network is not in this checkout")
    finder = make_finder(quality="live", hands=True)
    hand = finder.find(film[0]).hands[1] or finder.find(film[0]).hands[1]
    pixels = affine.resample(film[0], region_of(hand.landmarks).T_grid_from_picture(224), 224)
    ours = networks.look(pixels)
    blob = {"input_1": pixels[None].astype(np.float32) / 255}
    points, presence, right, world = open_network(original).run(None, blob)
    assert np.abs(points.reshape(21, 3) - ours.points).max() < 1.0 and abs(presence[0, 0] - ours.presence) < 0.05
    assert np.abs(world.reshape(21, 3) - ours.world).mean() < 0.001 and abs(right[0, 0] - ours.right) < 0.1


def random_angles(rng):
    flex = rng.uniform([-0.2, 0.05, 0.05], [1.2, 1.5, 1.1], (4, 3))
    return Angles(flex, rng.uniform(-0.1, 0.1, 4), rng.normal(0, 0.15, 3), rng.uniform(0.05, 0.9, 2)).limited()


@pytest.mark.parametrize("side", [0, 1])
def test_a_hand_is_found_again_from_its_points(flat, side):
    rng, anatomy = np.random.default_rng(side), HandAnatomy.of(flat, side)
    solver, spread = HandSolver(anatomy), np.full((21, 3), 400 * 0.008)
    errors, idle = [], []
    for _ in range(40):
        angles, R = random_angles(rng), Rotation.random(random_state=rng).as_matrix()
        points = anatomy.posed(angles) @ R.T
        wrist, found = solver(400 * points + 100, spread)
        errors.append(np.linalg.norm(anatomy.posed(found) @ wrist.T - points, axis=1))
        idle.append(np.linalg.norm(anatomy.posed(anatomy.neutral()) @ wrist.T - points, axis=1))
    fingers = np.array(errors)[:, 5:]
    assert fingers.mean() < 0.008 and np.percentile(fingers, 99) < 0.025  # angles are drawn to an idle hand's
    assert np.mean(errors) < 0.3 * np.mean(idle)


def test_bones_lengths_tell_what_depth_does_not(flat):
    """The picture is exact to 2 mm, depth is shrunk by a third and noisy to 8 mm: the fit is nearer than its input."""
    rng, anatomy = np.random.default_rng(3), HandAnatomy.of(flat, 0)
    solver = HandSolver(anatomy)
    errors = []
    for _ in range(30):
        angles, R = random_angles(rng), Rotation.random(random_state=rng).as_matrix()
        true = anatomy.posed(angles) @ R.T
        seen = true * (1, 1, 0.65) + rng.normal(0, 1, (21, 3)) * (0.002, 0.002, 0.008)
        wrist, found = solver(seen * 400 + [300, 200, 0], np.tile([0.8, 0.8, 6.0], (21, 1)))
        points = anatomy.posed(found) @ wrist.T
        errors.append([np.linalg.norm(p - p[0] - true, axis=1).mean() for p in (seen, points)])
    before, after = np.mean(errors, 0)
    assert after < 0.85 * before


def test_no_finger_bends_backward_whatever_is_seen(flat):
    rng, anatomy = np.random.default_rng(5), HandAnatomy.of(flat, 1)
    solver, spread = HandSolver(anatomy), np.full((21, 3), 4.0)
    for k in range(300):
        points = (
            rng.normal(0, 0.05, (21, 3)) if k % 2 else anatomy.posed(random_angles(rng)) + rng.normal(0, 0.02, (21, 3))
        )
        _, found = solver(points * 500, spread)
        assert (found.flex >= FLEX[..., 0] - 1e-9).all() and (found.flex <= FLEX[..., 1] + 1e-9).all()
        assert np.linalg.norm(found.thumb) <= THUMB_CONE + 1e-6
        assert (found.thumb_flex >= THUMB_FLEX[:, 0] - 1e-9).all()
        assert np.isfinite(found.packed()).all()


def scene(body, rig, flat, seed=0, turn=0.0):
    """A body before a camera whose left hand is posed, as descended (hands at rest) and in truth, and the left Hand."""
    rng, anatomy = np.random.default_rng(seed), HandAnatomy.of(flat, 0)
    angles = random_angles(rng)
    local = np.tile(np.eye(3), (52, 1, 1))
    local[18] = Rotation.from_rotvec([0.3, -0.8, 0.2]).as_matrix()
    stiff = blend(rig.weights, finger_transforms(chained(local), flat.joints), flat.vertices)
    local[20] = Rotation.from_rotvec([turn, 0.2, -0.3]).as_matrix()
    local[22:37] = anatomy.rotations(angles)
    T = finger_transforms(chained(local), flat.joints)
    camera = np.diag([1.0, -1.0, -1.0])
    true = blend(rig.weights, T, flat.vertices) @ camera + [0, 0, 3]
    G = chained(local)
    points = anatomy.posed(angles) @ (camera @ G[20]).T
    wrist = (np.einsum("ab,b->a", T[20, :, :3], flat.joints[20]) + T[20, :, 3]) @ camera + [0, 0, 3]
    placed = points + wrist
    pixels = placed[:, :2] / placed[:, 2:] * K[[0, 1], [0, 1]] + K[:2, 2]
    ray = Rotation.align_vectors([wrist / np.linalg.norm(wrist)], [[0, 0, 1.0]])[0]
    landmarks = np.column_stack([pixels, (placed[:, 2] - wrist[2]) * 300])
    hand = Hand(landmarks.astype(np.float32), ray.inv().apply(points).astype(np.float32), 1.0, 1.0, 80.0, pixels[0])
    mesh = (stiff @ camera + [0, 0, 3]).astype(np.float32)
    return mesh, true, replace(standing(), hands=(hand, None), hand_words=("seen", "not seen"))


def stretch(vertices, template, faces, which):
    edges = np.unique(np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), 1), axis=0)
    edges = edges[np.isin(edges, which).all(1)]
    new, old = (np.linalg.norm(v[edges[:, 0]] - v[edges[:, 1]], axis=1) for v in (vertices, template))
    return new / np.maximum(old, 0.002)


def test_the_mesh_gets_the_hand_that_was_seen(body, rig, flat):
    mesh, true, person = scene(body, rig, flat)
    std = np.full(len(mesh), 0.02, np.float32)
    fitted = HandsFit(rig, body)(mesh, std, person, K, 1.0, 0)
    assert fitted.states == (SEEN, RELAXED)
    left = rig.weights[:, [20, *range(22, 37)]].sum(1) > 0.9
    before, after = (np.linalg.norm(m - true, axis=1)[left].mean() for m in (mesh, fitted.vertices))
    assert after < 0.012 and after < before / 3
    rest = rig.weights[:, [18, 19, 20, 21, *range(22, 52)]].sum(1) < 1e-6
    np.testing.assert_array_equal(fitted.vertices[rest], mesh[rest])
    assert (fitted.std[left] > 0.02).all() and fitted.std[rest].max() == np.float32(0.02)
    right = rig.weights[:, 37:].sum(1) > 0.9
    assert fitted.std[right].min() > STD_UNSEEN  # not seen: marked
    assert HandsFit(rig, body)(mesh, std, replace(person, hands=None), K, 1.0, 0) is None


@pytest.mark.parametrize("turn", [-1.8, 0.0, 1.8])
def test_no_crease_at_the_wrist(body, rig, flat, turn):
    """Even where the palm is turned by 100 degrees from where the mesh has it, no edge is torn or pinched."""
    mesh, _, person = scene(body, rig, flat, turn=turn)
    hands = HandsFit(rig, body)
    vertices = hands(mesh, np.zeros(len(mesh), np.float32), person, K, 1.0, 0).vertices
    faces = body.faces.numpy()
    arm = np.flatnonzero(rig.weights[:, [18, 20]].sum(1) > 0.8)  # forearm and palm
    ratio = stretch(vertices, flat.vertices, faces, arm)
    assert np.percentile(ratio, 99) < 1.6 and np.percentile(ratio, 1) > 0.6 and ratio.max() < 2.6


def test_an_unseen_hand_relaxes_and_a_still_one_is_quiet(flat):
    rng, anatomy = np.random.default_rng(0), HandAnatomy.of(flat, 0)
    fist = Angles(np.tile([1.3, 1.5, 1.0], (4, 1)), np.zeros(4), np.zeros(3), np.array([0.5, 0.5])).packed()
    steady = HandFilter()
    noisy = [fist + rng.normal(0, 0.05, 21) for _ in range(60)]
    out = np.array([steady(np.eye(3), v, np.zeros(3), round(i * 1e9 / 30), True)[1] for i, v in enumerate(noisy)])
    assert np.diff(out[20:], axis=0).std() < 0.4 * np.diff(noisy[20:], axis=0).std()
    neutral, away = anatomy.neutral().packed(), []
    for i in range(60, 120):
        values = steady(np.eye(3), neutral, np.zeros(3), round(i * 1e9 / 30), False)[1]
        away.append(np.abs(values - neutral).max())
    assert (np.diff(away) <= 1e-12).all() and away[round(30 * RELAX_S)] < 0.5 * away[0] and away[-1] < 0.01


def test_a_wrist_is_split_into_twist_and_bend_and_held_within_limits():
    rng, axis = np.random.default_rng(1), np.array([1.0, 0, 0])
    for _ in range(50):
        twist, bend = rng.uniform(-2, 2), Rotation.from_rotvec(rng.uniform(-1, 1, 3) * (0, 0.9, 0.9)).as_matrix()
        whole = Rotation.from_rotvec(axis * twist).as_matrix() @ bend
        found, behind = split(whole, axis, 9.0, 9.0)
        assert np.abs(Rotation.from_rotvec(axis * found).as_matrix() @ behind - whole).max() < 1e-9
        assert found == pytest.approx(twist, abs=1e-6)
    _, held = split(Rotation.from_rotvec([0, 0, 2.4]).as_matrix(), axis, 1.0, BEND)
    assert Rotation.from_matrix(held).magnitude() == pytest.approx(BEND)


def test_the_tracker_poses_hands_where_they_were_looked_for(film, rig):
    finder = make_finder(quality="live", hands=True)
    person = finder.find(film[0])
    with_hands, without = (Tracker.load(hands=hands, uncertainty=0) for hands in (True, False))
    a, b = (t.start(Frame(film[0], 0, 0), person) for t in (with_hands, without))
    assert a.hand_pose.shape == (30, 3) and SEEN in a.hand_states and b.hand_pose is None and b.hand_states == (0, 0)
    arms = rig.weights[:, [18, 19, 20, 21, *range(22, 52)]].sum(1) > 1e-6
    np.testing.assert_array_equal(a.vertices[~arms], b.vertices[~arms])
    assert np.abs(a.vertices - b.vertices)[arms].max() > 0.01
    nobody_looked = with_hands.start(Frame(film[0], 0, 0), replace(person, hands=None))
    np.testing.assert_array_equal(nobody_looked.vertices, b.vertices)


def test_the_option():
    parser = make_parser()
    chosen = [TrackerOptions.from_arguments(parser.parse_args([*a, "--demo"])).hands for a in ([], ["--no-hands"])]
    assert chosen == [True, False]
    assert TrackerOptions.from_json({"hands": False}).hands is False
    with pytest.raises(ValueError, match="hands"):
        TrackerOptions(hands=2)


def test_a_carried_hand_turns_with_the_forearm(body, rig, flat):
    """By CARRIED of the forearm's turn; one that is looked at again does not."""
    hand, side = scene(body, rig, flat)[2].hands[0], HandsFit(rig, body)._sides[0]
    wrist, way = np.array([0.1, 0.2, 2.0]), np.array([0.2, 0.1, 0.0])
    palm, _ = side._read(hand, wrist, way)
    turn = Rotation.from_rotvec([0, 0, 0.5])
    later, _ = side._read(carried(hand, hand.pose_wrist + 1), wrist, turn.apply(way))
    assert np.linalg.norm(Rotation.from_matrix(later @ palm.T).as_rotvec()) == pytest.approx(0.5 * CARRIED, abs=1e-6)
