"""Another body than the bundled one, for tests: SMPL's layout, another topology; made once."""

import functools

import numpy as np
from scipy.spatial.transform import Rotation

from lvd_live.body.correspondence import Correspondence
from lvd_live.body.model import BodyModel
from lvd_live.body.skeleton import JOINT, PARENTS, chain_transforms
from lvd_live.paths import MODELS


@functools.cache
def other_arrays(components=20, seed=0):
    """A body in SMPL's layout with 13,348 vertices, another mean shape, and legs and arms held otherwise.

    It is the base mesh that the bundled body was decimated from, shuffled: no licence is needed for it. Returns its
    arrays and, for each vertex, where it lies on the bundled body's template.
    """
    template, dirs, weights, joints, joint_dirs, faces = base_mesh()
    regressor = joint_regressor(template, dirs, joints, joint_dirs)
    mean = np.zeros(20)
    mean[:4] = [0.8, -0.6, 0.5, -0.4]
    shaped, J = template + dirs @ mean, joints + joint_dirs @ mean
    G = np.tile(np.eye(3), (24, 1, 1))
    for side, x in (("left", 1), ("right", -1)):
        for names, angle in (("hip knee ankle foot", 0.12), ("shoulder elbow wrist hand", -0.15)):
            for name in names.split():
                G[JOINT[f"{side}_{name}"]] = Rotation.from_rotvec([0, 0, x * angle]).as_matrix()
    T = np.einsum("nj,jab->nab", weights, chain_transforms(G, J))
    posed = np.einsum("nab,nb->na", T[..., :3], shaped) + T[..., 3]
    turned = np.einsum("nab,nbk->nak", T[..., :3], dirs)
    if components > 20:  # more, small and smooth ones
        rng = np.random.default_rng(seed)
        wave = np.sin(posed @ rng.normal(0, 12, (3, components - 20)) + rng.uniform(0, 6, components - 20))
        turned = np.concatenate([turned, 0.0004 * wave[:, None] * rng.normal(size=(3, components - 20))], 2)
    order = np.random.default_rng(seed).permutation(len(template))
    arrays = {
        "v_template": posed[order],
        "shapedirs": turned[order],
        "weights": weights[order],
        "J_regressor": regressor[:, order],
        "f": np.argsort(order)[faces].astype(np.uint32),
        "kintree_table": np.stack([np.append(2**32 - 1, PARENTS[1:]), np.arange(24)]).astype(np.uint32),
        "posedirs": np.zeros((len(template), 3, 207), np.float32),
    }
    return arrays, template[order]


def base_mesh():
    """MakeHuman's skin in the T-pose.

    Returns template (N, 3), shape components (N, 3, 20), skin weights (N, 24), joints (24, 3), the joints' components
    (24, 3, 20), and faces (M, 3).
    """
    with np.load(MODELS / "synth" / "base.npz", allow_pickle=False) as base:
        used = np.unique(base["faces"])
        template, dirs = base["v_template"][used].astype(float), base["shapedirs"][used].astype(float)
        index, value = base["weights_index"][used].astype(int), base["weights_value"][used].astype(float)
        joints, joint_dirs = base["J_template"].astype(float), base["J_shapedirs"].astype(float)
        faces = np.searchsorted(used, base["faces"])
    weights = np.zeros((len(used), 24))
    np.put_along_axis(weights, index, value, 1)
    return template, dirs, weights / weights.sum(1, keepdims=True), joints, joint_dirs, faces


def joint_regressor(template, dirs, joints, joint_dirs):
    """(24, N): of least norm, from the vertices nearest to each joint, right for the template and all components."""
    regressor = np.zeros((24, len(template)))
    for j in range(24):
        near = np.argsort(((template - joints[j]) ** 2).sum(1))[:400]
        components = dirs[near].transpose(1, 2, 0).reshape(-1, len(near))
        rows = np.concatenate([template[near].T, components, 10 * np.ones((1, len(near)))])
        goal = np.concatenate([joints[j], joint_dirs[j].reshape(-1), [10]])
        regressor[j, near] = np.linalg.lstsq(rows, goal, rcond=1e-6)[0]
    return regressor


@functools.cache
def other_body(**options):
    """`other_arrays` as a body, and where its vertices lie on the bundled body's template."""
    arrays, truth = other_arrays(**options)
    return BodyModel({**arrays, "f": arrays["f"].astype(np.int64)}), truth


@functools.cache
def match():
    """Another body, where its vertices lie on the bundled one, and the correspondence."""
    other, truth = other_body()
    return other, truth, Correspondence.compute(BodyModel.load(MODELS / "body" / "lvd_body.npz"), other)
