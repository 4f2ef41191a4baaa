"""USD by `usd-core`: a skeleton with its animation and the body skinned to it, or the tracked mesh as a point cache."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
from pxr import Gf, Usd, UsdGeom, UsdSkel, Vt

from lvd_live.errors import UserError
from lvd_live.export.mesh_frames import meshes
from lvd_live.export.motion import BodyMotion
from lvd_live.export.options import UNITS
from lvd_live.export.skin import LINEAR_SKIN, strongest_weights
from lvd_live.storage.files import part_name, reason


def write(motion: BodyMotion, path: Path) -> None:
    """Raises UserError when it cannot be written."""
    part = part_name(path)
    try:
        stage = Usd.Stage.CreateNew(str(part))
        _fill(stage, motion)
        stage.GetRootLayer().Save()
        del stage
        os.replace(part, path)
    except OSError as error:
        raise UserError(f"Could not write {path}: {reason(error)}.", exit_code=1) from error
    except Exception as error:
        if not type(error).__module__.startswith("pxr"):
            raise
        free = shutil.disk_usage(path.absolute().parent).free >> 20
        why = f"USD could not save it; its disk has {free} MiB left"
        raise UserError(f"Could not write {path}: {why}.", exit_code=1) from error
    finally:
        part.unlink(missing_ok=True)


def _fill(stage: Usd.Stage, motion: BodyMotion) -> None:
    UsdGeom.SetStageUpAxis(stage, motion.options.up.upper())
    UsdGeom.SetStageMetersPerUnit(stage, 1 / UNITS[motion.options.unit])
    stage.SetTimeCodesPerSecond(motion.grid.fps)
    stage.SetFramesPerSecond(motion.grid.fps)
    stage.SetStartTimeCode(0)
    stage.SetEndTimeCode(len(motion) - 1)
    stage.SetDefaultPrim(UsdSkel.Root.Define(stage, "/Body").GetPrim())
    skeleton = _define_skeleton(stage, motion)
    mesh = _define_mesh(stage, motion)
    if motion.options.mesh == "fitted":
        _cache_points(mesh, motion)
    else:
        _bind(mesh, skeleton, motion)


def _define_skeleton(stage: Usd.Stage, motion: BodyMotion) -> UsdSkel.Skeleton:
    """The joints at rest, and their animation."""
    parents, J, names = motion.skeleton.parents, motion.skeleton.rest_joints, motion.skeleton.names
    paths = [names[0]]
    for j in range(1, len(names)):
        paths.append(f"{paths[parents[j]]}/{names[j]}")
    local = np.concatenate([J[:1], J[1:] - J[parents[1:]]])
    skeleton = UsdSkel.Skeleton.Define(stage, "/Body/Skeleton")
    skeleton.CreateJointsAttr(Vt.TokenArray(paths))
    skeleton.CreateBindTransformsAttr(_translations(J))
    skeleton.CreateRestTransformsAttr(_translations(local))
    animation = UsdSkel.Animation.Define(stage, "/Body/Skeleton/Motion")
    animation.CreateJointsAttr(Vt.TokenArray(paths))
    animation.CreateScalesAttr(Vt.Vec3hArray([Gf.Vec3h(1)] * len(names)))
    rotations, translations = animation.CreateRotationsAttr(), animation.CreateTranslationsAttr()
    for number in range(len(motion)):
        quaternions = [Gf.Quatf(w, x, y, z) for x, y, z, w in motion.skeleton.quaternions[number].tolist()]
        rotations.Set(Vt.QuatfArray(quaternions), number)
        local[0] = motion.pelvis[number]
        translations.Set(Vt.Vec3fArray.FromNumpy(local.astype(np.float32)), number)
    UsdSkel.BindingAPI.Apply(skeleton.GetPrim()).CreateAnimationSourceRel().SetTargets([animation.GetPath()])
    return skeleton


def _define_mesh(stage: Usd.Stage, motion: BodyMotion) -> UsdGeom.Mesh:
    """The triangles, still without points."""
    mesh = UsdGeom.Mesh.Define(stage, "/Body/Mesh")
    mesh.CreateFaceVertexCountsAttr(Vt.IntArray(len(motion.faces), 3))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(motion.faces.astype(np.int32).ravel()))
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    mesh.CreateDisplayColorAttr(Vt.Vec3fArray([Gf.Vec3f(*LINEAR_SKIN)]))
    return mesh


def _bind(mesh: UsdGeom.Mesh, skeleton: UsdSkel.Skeleton, motion: BodyMotion) -> None:
    mesh.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(motion.skeleton.rest.astype(np.float32)))
    joints, weights = strongest_weights(motion.skeleton.weights)
    binding = UsdSkel.BindingAPI.Apply(mesh.GetPrim())
    binding.CreateSkeletonRel().SetTargets([skeleton.GetPath()])
    binding.CreateJointIndicesPrimvar(False, 4).Set(Vt.IntArray.FromNumpy(joints.astype(np.int32).ravel()))
    binding.CreateJointWeightsPrimvar(False, 4).Set(Vt.FloatArray.FromNumpy(weights.ravel()))
    binding.CreateGeomBindTransformAttr(Gf.Matrix4d(1))


def _cache_points(mesh: UsdGeom.Mesh, motion: BodyMotion) -> None:
    points, visibility = mesh.CreatePointsAttr(), mesh.CreateVisibilityAttr()
    for number, frame in enumerate(meshes(motion)):
        visibility.Set(UsdGeom.Tokens.invisible if frame is None else UsdGeom.Tokens.inherited, number)
        if frame is not None:
            points.Set(Vt.Vec3fArray.FromNumpy(frame[0]), number)


def _translations(points: np.ndarray) -> Vt.Matrix4dArray:
    """Points (n, 3) as matrices that move the origin there."""
    return Vt.Matrix4dArray([Gf.Matrix4d(1).SetTranslate(Gf.Vec3d(*map(float, point))) for point in points])
