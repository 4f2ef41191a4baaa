"""Back to front: people of known sides whose landmarks are exchanged for a while; and what is doubtful."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from lvd_live.body.model import BodyModel
from lvd_live.body.skeleton import JOINT
from lvd_live.paths import DEMO, MODELS
from lvd_live.person import BlazePoseFinder
from lvd_live.person.exchange import Sides, forward, opinion_of
from lvd_live.person.sides import COUNTERPART, exchanged
from lvd_live.person.types import Person
from lvd_live.pipeline.reread import reread
from lvd_live.session import segments
from lvd_live.session.sequence import SequenceWriter, load_sequence
from lvd_live.sources import Frame, VideoSource
from lvd_live.tracking.doubt import STD, agreement, is_doubtful, raised
from lvd_live.tracking.tracker import Tracker

FRAMES, SIDE = 75, 256
SIZE = SIDE, SIDE
BODY = BodyModel.load(MODELS / "body" / "lvd_body.npz")


@pytest.fixture(scope="module")
def walking() -> np.ndarray:
    """(75, 6890, 3) metres, body frame: somebody who walks on the spot and swings the arms, at 30 frames a second."""
    t, poses = np.arange(FRAMES) / 30, np.zeros((FRAMES, 24, 3), np.float32)
    swing = np.sin(2 * np.pi * t)
    for side, sign in (("left", 1), ("right", -1)):
        poses[:, JOINT[f"{side}_hip"], 0] = -0.5 * sign * swing
        poses[:, JOINT[f"{side}_knee"], 0] = 0.4 + 0.4 * sign * swing
        poses[:, JOINT[f"{side}_shoulder"]] = np.stack([0.4 * sign * swing, 0 * t, -1.1 * sign + 0 * t], -1)
        poses[:, JOINT[f"{side}_elbow"], 1] = -0.5 * sign
    with torch.no_grad():
        return BODY(torch.zeros(FRAMES, BODY.shapedirs.shape[-1]), torch.from_numpy(poses))[0].numpy()


def seen(meshes: np.ndarray, headings: np.ndarray, noise: float = 0.004, seed: int = 0) -> list[Person]:
    """The person as a finder sees it that is right: facing the camera at a heading of 0°, landmarks with white noise
    (of the region's side), the body's hull as mask.
    """
    rng, people = np.random.default_rng(seed), []
    for i, (mesh, heading) in enumerate(zip(meshes, headings, strict=True)):
        turned = mesh @ Rotation.from_euler("y", heading, degrees=True).as_matrix().T.astype(np.float32)
        points = BODY.landmarks.numpy() @ turned
        distance = 3.5 - points[:, 2:]
        xy = 1.6 * SIDE * points[:, :2] * [1, -1] / distance + SIDE / 2 + rng.normal(0, noise * SIDE, (33, 2))
        hull = cv2.convexHull(
            (1.6 * SIDE * turned[::20, :2] * [1, -1] / (3.5 - turned[::20, 2:]) + SIDE / 2).astype(np.float32)
        )
        mask = cv2.fillConvexPoly(np.zeros((128, 128), np.float32), (hull / 2).round().astype(np.int32), 1.0)
        landmarks = np.column_stack([xy, np.ones(33)]).astype(np.float32)
        T = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25]], np.float32)
        world = (points - points[[23, 24]].mean(0)) * np.float32([1, -1, -1])
        people.append(Person(mask, T, landmarks, world, 1.0, i == 0))
    return people


def read(people: list[Person], wrong: range, opinion=None) -> list[bool]:
    """Which frames end up with their sides exchanged, of people whose finder exchanges them in `wrong`."""
    sides, out = Sides(opinion), []
    for i, person in enumerate(people):
        found = sides(exchanged(person) if i in wrong else person, SIZE)
        out.append(not np.array_equal(found.landmarks, person.landmarks))
        assert np.array_equal(found.world[:, :2], person.world[:, :2]) != out[-1] and 0 <= found.doubt <= 0.5
    return out


@pytest.mark.parametrize("heading", [0, 40, 150, 180, -35])
@pytest.mark.parametrize("first", [3, 20, 41])
def test_twenty_five_exchanged_frames_leave_none(walking, heading, first):
    people = seen(walking, heading + 15 * np.sin(np.arange(FRAMES) / 12))
    assert not any(read(people, range(0))) and not any(read(people, range(first, first + 25)))


def test_to_the_clips_end_and_for_one_frame(walking):
    people = seen(walking, np.zeros(FRAMES))
    assert not any(read(people, range(30, FRAMES))) and not any(read(people, range(30, 31)))


def test_the_clip_of_a_real_person(people):
    for first in (9, 21, 36):
        assert not any(read(people, range(first, first + 25)))


@pytest.fixture(scope="module")
def people():
    """What the finder says of the demo clip, where it is right throughout."""
    finder = BlazePoseFinder(MODELS / "blazepose")
    with VideoSource(DEMO) as source:
        found = [finder.find(frame.picture) for frame in source]
    assert max(p.doubt for p in found) < 0.05
    return found


def test_somebody_who_turns_is_not_exchanged(walking):
    for degrees_a_frame in (4, 12, 25):
        assert not any(read(seen(walking, degrees_a_frame * np.arange(FRAMES)), range(0)))


def test_an_opinion_corrects_a_wrong_start(walking):
    people = seen(walking, np.zeros(FRAMES))

    def opinion(person, size):  # faint, and wrong in every fifth frame
        opinion.frame += 1
        right = person.landmarks[11, 0] > person.landmarks[12, 0]
        return (1.0 if right else -1.0) * (-1 if opinion.frame % 5 == 0 else 1)

    opinion.frame = 0
    wrong = read(people, range(FRAMES), opinion)
    assert wrong[0] and not any(wrong[40:])
    opinion.frame = 0
    assert not any(read(people, range(10, 35), opinion))


def test_a_sure_opinion_corrects_the_first_frame_and_the_correction_is_a_new_start(walking):
    people = seen(walking, np.zeros(FRAMES))
    assert not any(read(people, range(FRAMES), lambda p, _: 5.0 if p.landmarks[11, 0] > p.landmarks[12, 0] else -5.0))
    sides, new = Sides(lambda p, _: 2.0 if p.landmarks[11, 0] > p.landmarks[12, 0] else -2.0), []
    for person in people[:20]:
        found = sides(exchanged(person), SIZE)
        new.append(found.is_new)
    assert sides.exchanged and new[0] and sum(new) == 2 and new.index(True, 1) < 6


def test_a_new_person_starts_anew(walking):
    people, sides = seen(walking, np.zeros(FRAMES)), Sides()
    for i, person in enumerate(people[:12]):
        sides(exchanged(person) if i > 5 else person, SIZE)
    assert sides.exchanged
    sides(replace(people[12], is_new=True), SIZE)
    assert not sides.exchanged
    sides.reset()
    assert not sides.exchanged


def test_the_filter():
    assert forward(3.0, 0.0) < 3.0 and forward(3.0, -10.0) == pytest.approx(3.0, abs=0.1)
    assert forward(9.0, 14.0) < -2 and forward(-9.0, 14.0) > 2


def test_agreement_is_of_what_the_picture_shows():
    drawn, mask = np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    drawn[10:60, 20:40], mask[10:30, 20:40] = True, True
    whole = np.array([-1.0, -1.0]), np.array([1.0, 1.0])
    assert agreement(drawn, mask, *whole) == pytest.approx(0.4)
    assert agreement(drawn, mask, np.array([-1.0, 1 - 2 * 30 / 64]), whole[1]) == 1.0
    assert agreement(drawn & False, mask & False, *whole) == 1.0


def test_doubtful_fits_say_so(people):
    with VideoSource(DEMO) as source:
        frame = next(iter(source))
    person, tracker = people[0], Tracker.load(uncertainty=4)
    sure = tracker.start(frame, person)
    assert not sure.doubtful and sure.vertex_std.min() < STD
    doubtful = tracker.start(frame, replace(person, doubt=0.4))
    assert doubtful.doubtful and doubtful.vertex_std.min() >= np.float32(STD)
    np.testing.assert_array_equal(doubtful.vertices, sure.vertices)
    for outline in (True, False):
        tracker.outline = outline
        assert not tracker.start(frame, person).doubtful
    elsewhere = replace(person, mask=np.roll(person.mask, 40, 1))
    assert contradicted(tracker, frame, elsewhere)


def contradicted(tracker: Tracker, frame: Frame, person: Person) -> bool:
    tracker.evidence, tracker.outline = "all", False
    fit = tracker.start(frame, person)
    return fit is None or fit.doubtful


def test_what_is_doubtful():
    person = Person(np.ones((2, 2), np.float32), np.eye(2, 3), np.zeros((33, 3)), np.zeros((33, 3)), 1.0, True)
    assert not is_doubtful(person, 0.8) and is_doubtful(person, 0.4) and is_doubtful(replace(person, doubt=0.3), 0.8)
    std = np.array([0, 0.01, 0.2], np.float32)
    np.testing.assert_allclose(raised(std, True), [0, STD, 0.2])
    assert raised(std, False) is std and len(COUNTERPART) == 33


def test_the_file_holds_what_is_doubtful_and_old_files_open(tmp_path):
    faces, size = np.array([[0, 1, 2]], np.int32), {"image_size": (64, 48)}
    writer = SequenceWriter(tmp_path / "new.npz", faces, 3, {})
    for i, fit in enumerate(({}, {"doubtful": False}, {"doubtful": True})):
        mesh = {"vertices": np.ones((3, 3), np.float32), "intrinsics": np.eye(3), **fit} if fit else {"doubtful": True}
        writer.append(timestamp_ns=i, frame_index=i, **size, **mesh)
    writer.close()
    assert load_sequence(tmp_path / "new.npz").doubtful.tolist() == [False, False, True]
    with np.load(tmp_path / "new.npz") as file:
        np.savez(tmp_path / "old.npz", **{name: file[name] for name in file if name != "doubtful"})
    old = load_sequence(tmp_path / "old.npz")
    assert old.doubtful.tolist() == [False] * 3 and old.tracked.tolist() == [False, True, True]


def test_a_session_holds_what_is_doubtful_and_old_ones_open(tmp_path):
    columns = {name: np.zeros((2, *shape), dtype) for name, (shape, dtype) in segments.COLUMNS.items()}
    columns |= {"timestamps_ns": np.array([1, 2]), "image_size": np.ones((2, 2), np.int32), "tracked": np.ones(2, bool)}
    columns["doubtful"] = np.array([False, True])
    mesh = np.ones((2, 3, 3), np.float32), np.ones((2, 3), np.float32)
    (tmp_path / "new.npz").write_bytes(segments.pack_segment(0, columns, *mesh, "{}"))
    assert segments.read_segment(tmp_path / "new.npz").columns["doubtful"].tolist() == [False, True]
    with np.load(tmp_path / "new.npz") as file:
        np.savez(tmp_path / "old.npz", **{name: file[name] for name in file if name != "doubtful"})
    assert not segments.read_segment(tmp_path / "old.npz").columns["doubtful"].any()


def test_a_lifter_is_surer_of_the_right_reading(walking):
    people = seen(walking, np.zeros(FRAMES))

    def doubts(landmarks, size):
        assert landmarks.shape == (33, 3) and size == SIZE
        return (-3.0, -2.5) if landmarks[11, 0] > landmarks[12, 0] else (-2.5, -3.0)

    opinion = opinion_of(doubts)
    assert opinion(people[0], SIZE) > 1 and opinion(exchanged(people[0]), SIZE) == -opinion(people[0], SIZE)
    assert not any(read(people, range(20, FRAMES), opinion)) and not any(read(people, range(FRAMES), opinion)[3:])


@pytest.mark.parametrize("wrong", [range(FRAMES), range(40), range(0)])
def test_first_frames_of_a_file_are_read_again(walking, wrong):
    people = seen(walking, np.zeros(FRAMES))
    sides = Sides(lambda p, _: 2.0 if p.landmarks[11, 0] > p.landmarks[12, 0] else -2.0)
    said = [sides(exchanged(p) if i in wrong else p, SIZE) for i, p in enumerate(people)]
    assert np.array_equal(said[0].landmarks, people[0].landmarks) == (0 not in wrong)
    found = list(zip(frames_of(said), said, strict=True))
    again = list(reread(found))
    assert [frame.index for frame, _ in again] == list(range(FRAMES))
    assert all(np.array_equal(new.landmarks, p.landmarks) for (_, new), p in zip(again, people, strict=True))
    assert [i for i, (_, new) in enumerate(again) if new.is_new] == [0]
    assert not wrong or not again[0][1].world[:, 2].any()  # its depth was that of the other side


def test_what_waits_is_not_lost(walking):
    people = seen(walking[:3], np.zeros(3))

    def broken():
        yield from zip(frames_of(people), people, strict=True)
        raise OSError("the file ends")

    taken = []
    with pytest.raises(OSError, match="the file ends"):
        for frame, _ in reread(broken()):
            taken.append(frame.index)
    assert taken == [0, 1, 2]
    lost = [*people, None, *people]
    assert [p for _, p in reread(zip(frames_of(lost), lost, strict=True))] == lost


def frames_of(people: list) -> list[Frame]:
    return [Frame(np.zeros((2, 2, 3), np.uint8), i, i * 33_000_000) for i in range(len(people))]
