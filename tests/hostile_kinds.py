"""The kinds of hostile files: for each, a function that makes the sound ones in a folder, and returns what bends and
reads one of them: (random numbers, an empty folder) to False where it was refused without an error."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sys
import types
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

import cv2
import numpy as np

from tests import bend

Read = Callable[[Random, Path], object]
ROOT = Path(__file__).resolve().parents[1]


def sequences(root: Path) -> Read:
    """A mesh sequence, opened as export does."""
    from lvd_live.export.take import Take
    from tests.test_hostile_npz import good

    def read(random: Random, folder: Path) -> None:
        (folder / "a.npz").write_bytes(bend.bend_npz(good(), random))
        sequence = Take.open(folder / "a.npz").sequence
        for name in ("vertices", "vertex_std", "intrinsics", "landmarks"):
            assert np.isfinite(np.asarray(getattr(sequence, name))).all()

    return read


def sessions(root: Path) -> Read:
    """A recorded session: listed, opened, its pictures read; repaired, and then opened again."""
    from lvd_live.errors import UserError
    from lvd_live.session.library import list_sessions
    from lvd_live.session.reader import open_session
    from lvd_live.session.recover import UNUSABLE, recover
    from tests.recording import record

    whole = record(root / "recordings", count=40, untracked=(3,)).path

    def read_through(folder: Path) -> None:
        session = open_session(folder)
        assert np.isfinite(session.vertices[:]).all() and np.isfinite(session.vertex_std[:]).all()
        if session.video is not None:
            list(session.frames())

    def read(random: Random, folder: Path) -> object:
        session = folder / "session"
        shutil.copytree(whole, session)
        bend_session(session, random)
        list_sessions(folder)
        refused = False
        try:
            read_through(session)
        except UserError:
            refused = True
        if recover(session).code != UNUSABLE:
            read_through(session)
            refused = False
        list_sessions(folder)
        return not refused

    return read


def bend_session(session: Path, random: Random) -> None:
    """Bend one or two of a session's files."""
    for _ in range(random.choice([1, 1, 2])):
        path = random.choice([p for p in sorted(session.rglob("*")) if p.is_file()])
        way = random.random()
        if way < 0.06:
            path.unlink()
        elif way < 0.1:
            path.unlink()
            random.choice([path.mkdir, lambda path=path: os.mkfifo(path), lambda path=path: path.symlink_to("x")])()
        elif path.suffix == ".json":
            facts = json.loads(path.read_bytes())
            facts = bend.bend_json({k: v for k, v in facts.items() if k != "crc32"}, random)
            if isinstance(facts, dict):
                facts["crc32"] = zlib.crc32(json.dumps(facts, sort_keys=True).encode())
            data = json.dumps(facts).encode()
            path.write_bytes(bend.bend(data, random) if random.random() < 0.3 else data)
        elif path.suffix == ".npz":
            try:
                with np.load(path, allow_pickle=False) as file:
                    arrays = {name: file[name] for name in file}
            except Exception:  # bent before
                continue
            if random.random() < 0.2:
                text = json.dumps(bend.bend_json(json.loads(bytes(arrays["session"])), random))
                arrays["session"] = np.array(text.encode("ascii"))
            path.write_bytes(bend.bend_npz(arrays, random))
        else:
            path.write_bytes(bend.bend(path.read_bytes(), random, 4096))


def pictures(root: Path) -> Read:
    """Pictures of every kind that is read."""
    from lvd_live.sources.images import ImageSource, read_picture

    whole = sound_pictures()

    def read(random: Random, folder: Path) -> object:
        suffix, data = random.choice(whole)
        bend_it = bend.bend_png if suffix == ".png" and random.random() < 0.6 else bend.bend
        path = folder / f"a{suffix}"
        path.write_bytes(bend_it(data, random))
        list(ImageSource(path))
        return read_picture(path) is not None

    return read


def sound_pictures() -> list[tuple[str, bytes]]:
    """Endings and bytes of small pictures: grey, colour, transparent, of 16 bits; with EXIF; HEIC where it can."""
    numbers = np.random.default_rng(0)
    colour = cv2.resize(numbers.integers(0, 255, (6, 9, 3), np.uint8), (48, 32))
    alpha = np.dstack([colour, numbers.integers(0, 255, (32, 48), np.uint8)])
    found = []
    for suffix in ".jpg .png .bmp .webp .tif .avif .jp2 .gif .ppm".split():
        for picture in (colour, colour[..., 0], alpha, colour.astype(np.uint16) << 8, alpha.astype(np.uint16) << 8):
            try:
                done, data = cv2.imencode(suffix, picture)
            except cv2.error:
                continue
            if done:
                found.append((suffix, data.tobytes()))
    try:
        import io

        import pillow_heif
        from PIL import Image
    except ImportError:
        return found
    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = 6
    for suffix, options in ((".heic", {"format": "HEIF"}), (".jpg", {"format": "JPEG"}), (".png", {"format": "PNG"})):
        for kind in ("RGB", "RGBA", "L"):
            if (suffix, kind) == (".jpg", "RGBA"):
                continue
            buffer = io.BytesIO()
            Image.fromarray(colour).convert(kind).save(buffer, exif=exif.tobytes(), **options)
            found.append((suffix, buffer.getvalue()))
    return found


def weights(root: Path) -> Read:
    """The network's weights and the lifter's."""
    from lvd_live.lift.lifter import Lifter
    from lvd_live.lvd.weights import load_network

    network = (ROOT / "models" / "weights" / "live.safetensors").read_bytes()
    lifter = (ROOT / "models" / "lift" / "lifter.safetensors").read_bytes()

    def read(random: Random, folder: Path) -> None:
        path = folder / "a.safetensors"
        if random.random() < 0.5:
            path.write_bytes(bend.bend_safetensors(network, random))
            load_network(path)
        else:
            path.write_bytes(bend.bend_safetensors(lifter, random))
            Lifter.load(path)

    return read


class Ch:
    """A chumpy array as pickles hold it."""

    def __init__(self, x: object):
        self.x = x


def bodies(root: Path) -> Read:
    """SMPL's files, as archives and as pickles."""
    import scipy.sparse

    from lvd_live.body.model import BodyModel

    arrays = small_body()
    module = types.ModuleType("chumpy.ch")
    module.Ch = Ch
    Ch.__module__, sys.modules["chumpy"], sys.modules["chumpy.ch"] = "chumpy.ch", types.ModuleType("chumpy"), module
    arrays |= {"landmarks": np.full((33, 48), 1 / 48)}
    table = {**arrays, "shapedirs": Ch(arrays["shapedirs"]), "J": np.zeros((24, 3)), "bs_type": "lrotmin"}
    table["J_regressor"] = scipy.sparse.csc_matrix(arrays["J_regressor"])
    pickles = [pickle.dumps(table, protocol) for protocol in (0, 2, 4, 5)]

    def read(random: Random, folder: Path) -> None:
        if random.random() < 0.5:
            path = folder / "a.npz"
            kept = arrays if random.random() < 0.7 else {k: v for k, v in arrays.items() if k != "landmarks"}
            path.write_bytes(bend.bend_npz(kept, random))
        else:
            path = folder / "a.pkl"
            path.write_bytes(bend.bend(random.choice(pickles), random, 400))
        BodyModel.load(path)

    return read


def small_body() -> dict[str, np.ndarray]:
    """A body in SMPL's layout with 48 vertices."""
    from lvd_live.body.skeleton import PARENTS

    numbers = np.random.default_rng(1)
    weights = np.repeat(np.eye(24), 2, 0)
    return {
        "v_template": numbers.normal(0, 0.5, (48, 3)),
        "shapedirs": numbers.normal(0, 0.1, (48, 3, 4)),
        "posedirs": np.zeros((48, 3, 207), np.float32),
        "weights": weights,
        "J_regressor": weights.T / 2,
        "f": np.arange(48, dtype=np.uint32).reshape(-1, 3),
        "kintree_table": np.stack([np.append(2**32 - 1, PARENTS[1:]), np.arange(24)]).astype(np.uint32),
    }


def videos(root: Path) -> Read:
    """Films of many containers and codecs: read through, and sought in."""
    from lvd_live.sources import VideoSource
    from tests.films import sound_films

    whole = [(path.suffix, path.read_bytes()) for path in sound_films(root / "films")]

    def read(random: Random, folder: Path) -> None:
        suffix, data = random.choice(whole)
        path = folder / f"a{suffix}"
        path.write_bytes(bend.bend(data, random, random.choice([64, 512, 4096])))
        with VideoSource(path) as source:
            stamps = [frame.timestamp_ns for frame in source]
            assert stamps and (np.diff(stamps) > 0).all()
            next(source.frames_from(stamps[len(stamps) // 2]), None)

    return read


def words(root: Path) -> Read:
    """Addresses of cameras and receivers, sizes and numbers, as a command line is given them."""
    from lvd_live.cli.parser import make_parser
    from lvd_live.sources.address import parse_address, public

    sound = ["0", "/dev/video0", "rtsp://a:b@host:554/x?y=z#1", "http://[::1]:80/x", "127.0.0.1:39539", "640x480@30"]
    options = ("--camera", "--camera-size", "--vmc", "--benchmark", "--fov", "--height", "--smoothing", "--iterations")

    def read(random: Random, folder: Path) -> None:
        text = bend.bend(random.choice(sound).encode(), random).decode("utf-8", "surrogateescape")
        public(parse_address(text))
        make_parser().parse_args([f"{random.choice(options)}={text}"])

    return read


KINDS: dict[str, Callable[[Path], Read]] = {
    "sequence": sequences,
    "session": sessions,
    "picture": pictures,
    "weights": weights,
    "body": bodies,
    "video": videos,
    "words": words,
}
