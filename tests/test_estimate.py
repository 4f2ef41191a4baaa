"""What measurements are likely, and how far off."""

import numpy as np
import pytest

from lvd_live.body.estimate import ERRORS, HEIGHTS, ErrorModel, different_views, estimate
from lvd_live.body.fit import BodyFitter, Fitted
from lvd_live.body.measure import NAMES, measure
from lvd_live.body.model import BodyModel
from lvd_live.paths import MODELS


@pytest.fixture(scope="module")
def fitter():
    return BodyFitter(BodyModel.load(MODELS / "body" / "lvd_body.npz"))


def fitted(pose):
    """The mean body in the poses (F, 24, 3)."""
    count = len(pose)
    zeros = np.zeros((count, 3), np.float32), np.zeros(count, np.float32), np.ones(count, np.float32)
    return Fitted(pose, np.zeros(20, np.float32), *zeros, np.zeros((0, 20), np.float32))


def turned(*degrees):
    """T-poses that face so many degrees to the side, (F, 24, 3)."""
    pose = np.zeros((len(degrees), 24, 3), np.float32)
    pose[:, 0, 1] = np.radians(degrees)
    return pose


def people(model, count, views, rng):
    """t (count,), and f of single views (count, views) and of all together (count,), drawn as the model says."""
    true = rng.normal(model.mean, model.deviation, count)
    clothed = model.found + model.slope * (true - model.mean) + rng.normal(0, model.person, count)
    once = clothed[:, None] + rng.normal(0, model.view, (count, views))
    return true, once, once.mean(1)


def test_the_errors_of_people_are_found_again():
    model = ErrorModel(mean=-0.8, deviation=0.13, found=-0.74, slope=0.4, person=0.04, view=0.07)
    again = ErrorModel.measured(*people(model, 20_000, 8, np.random.default_rng(0)), views=8)
    assert vars(again) == pytest.approx(vars(model), abs=0.003)


@pytest.mark.parametrize("views", [1, 4, 16])
@pytest.mark.parametrize("name", ERRORS)
def test_the_error_is_honest_and_the_estimate_does_not_lean_more_than_it_must(name, views):
    """Of people who err as the model says, 68 % lie within it, and no straight line through f comes nearer."""
    model = ERRORS[name]
    true, _, found = people(model, 20_000, views, np.random.default_rng(1))
    likely, error = model.likely(found, views)
    assert np.mean(np.abs(likely - true) < error) == pytest.approx(0.683, abs=0.015)
    gain, offset = np.polyfit(found, true, 1)
    assert likely == pytest.approx(offset + gain * found, abs=0.02 * model.deviation + 0.002)


def test_more_views_help_until_the_clothes_are_what_is_left():
    errors = [ERRORS["waist"].likely(-0.7, n)[1] for n in (1, 4, 16, 1000)]
    assert errors == sorted(errors, reverse=True) and errors[-1] > 0.05


def test_frames_that_look_alike_count_once():
    rng = np.random.default_rng(0)
    still = turned(*np.zeros(40)) + rng.normal(0, 0.02, (40, 24, 3)).astype(np.float32)
    assert different_views(still) == 1 and different_views(turned(0, 90, 180, 270, 0, 90)) == 4
    arms = turned(0, 0)
    arms[1, 1:] = [np.radians(20), 0, 0]
    assert different_views(arms) == 2 and different_views(turned(0)) == 1 and different_views(turned()) == 1


def test_a_known_height_is_exact_and_an_unknown_one_is_a_guess(fitter):
    known, unknown = estimate(fitter, fitted(turned(0)), 1.75), estimate(fitter, fitted(turned(0)))
    assert tuple(known) == NAMES
    assert known["height"].cm == pytest.approx(175) and known["height"].error == 0
    assert unknown["height"].error == pytest.approx(HEIGHTS * unknown["height"].cm)
    assert all(unknown[n].error / unknown[n].cm > known[n].error / known[n].cm for n in NAMES)
    assert 5 < known["waist"].error < 12 and known["inseam"].error < 3


def test_a_session_from_all_sides_is_surer_than_a_still_one(fitter):
    still, around = (estimate(fitter, fitted(turned(*d)), 1.75) for d in ((0,) * 8, range(0, 360, 45)))
    assert all(around[n].error < still[n].error for n in ERRORS)


def test_waists_are_taken_for_slimmer_than_they_look(fitter):
    body = fitted(turned(0, 90))
    assert estimate(fitter, body, 1.75)["waist"].cm < measure(fitter, body, 1.75)["waist"].cm
