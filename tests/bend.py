"""Files made hostile: bytes changed at random, or one value behind checksums that are right again."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from random import Random

import numpy as np

NUMBERS = [0, 1, -1, 2, 7, 127, 255, 32767, 65535, 2**31 - 1, -(2**31), 2**32 - 1, 2**40, 2**63 - 1, -(2**63)]
VALUES = [
    *NUMBERS,
    None,
    True,
    "",
    "x",
    "\n",
    "\0",
    "\ud800",
    "9" * 5000,
    1e308,
    -0.5,
    [],
    {},
    [[]],
    {"": {}},
    "../../x",
]
DTYPES = "b1 i1 u1 i4 i8 u4 u8 f2 f4 f8 c8 S3 U2 V5 M8[ns] m8[s] >f4 >i8".split()
SHAPES = [(), (0,), (1,), (2,), (3,), (33, 3), (4, 6, 3), (0, 3), (2**20,), (1, 1, 1, 1), (3, 0, 2)]


def bend(data: bytes, random: Random, head: int = 1024) -> bytes:
    """Some bytes changed, cut, doubled or put in, half of the times in the first `head` bytes or the last."""
    changed = bytearray(data)
    for _ in range(random.choice([1, 1, 2, 4, 16])):
        if not changed:
            break
        place = random.random()
        reach = min(head, len(changed))
        at = random.randrange(reach) if place < 0.4 else random.randrange(len(changed))
        at = len(changed) - 1 - random.randrange(reach) if place > 0.9 else at
        way = random.randrange(7)
        if way == 0:
            changed[at] ^= 1 << random.randrange(8)
        elif way == 1:
            changed[at] = random.choice([0, 1, 127, 128, 255, random.randrange(256)])
        elif way == 2:
            size = random.choice("bhiq")
            number = random.choice(NUMBERS) & (2 ** (8 * struct.calcsize("=" + size)) - 1)
            raw = struct.pack(random.choice("<>") + size.upper(), number)
            changed[at : at + len(raw)] = raw
        elif way == 3:
            del changed[at : at + random.choice([1, 2, 4, 64, len(changed)])]
        elif way == 4:
            changed[at:at] = random.randbytes(random.choice([1, 2, 4, 64]))
        elif way == 5:
            changed[at:at] = changed[at : at + random.choice([1, 8, 200])]
        else:
            changed[at : at + 16] = random.randbytes(16)
    return bytes(changed)


def bend_json(value: object, random: Random) -> object:
    """One value somewhere in a tree of JSON values replaced, left out, or given another name."""
    if isinstance(value, dict) and value and random.random() < 0.85:
        name = random.choice(list(value))
        way = random.random()
        rest = {key: kept for key, kept in value.items() if key != name}
        if way < 0.1:
            return rest
        if way < 0.15:
            return rest | {str(random.choice(VALUES)): value[name]}
        return value | {name: bend_json(value[name], random)}
    if isinstance(value, list) and value and random.random() < 0.7:
        at = random.randrange(len(value))
        return [*value[:at], bend_json(value[at], random), *value[at + random.randrange(2) :]]
    return random.choice(VALUES)


def an_array(random: Random) -> np.ndarray:
    """An array of any type and shape, with values at the ends of what its type holds."""
    dtype = np.dtype(random.choice(DTYPES))
    shape = random.choice(SHAPES)
    count = int(np.prod(shape))
    pattern = random.choice([bytes(16), b"\xff" * 16, b"\x7f" * 16, b"\x00\x00\x80\x7f" * 4, random.randbytes(16)])
    raw = (pattern * (count * dtype.itemsize // 16 + 1))[: count * dtype.itemsize]
    return np.frombuffer(raw, dtype, count).reshape(shape)


def bend_array(array: np.ndarray, random: Random) -> np.ndarray:
    """The array with a value, its type or its shape changed, or quite another."""
    way = random.randrange(5)
    if way == 0 or not array.size or array.dtype.kind not in "biuf":
        return an_array(random)
    if way == 1:
        return array.astype(random.choice("b1 i4 i8 u1 f4 f8".split()))
    if way == 2:
        return random.choice([array[..., None], array[:1], array.reshape(-1)]) if array.ndim else array[None]
    changed = array.copy()
    raw = np.frombuffer(random.choice([bytes(8), b"\xff" * 8, b"\0\0\xc0\x7f" * 2, random.randbytes(8)]), np.uint8)
    flat = changed.reshape(-1).view(np.uint8)
    size = changed.dtype.itemsize
    at = random.randrange(changed.size) * size
    flat[at : at + size] = raw[:size]
    return changed


def npy(array: np.ndarray) -> bytes:
    """An array as a member of an archive."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def bend_npz(arrays: Mapping[str, np.ndarray], random: Random, bent: str | None = None) -> bytes:
    """An archive of the arrays: its bytes bent, or a member's bytes, or an array, under right checksums.

    bent : which array; any by default.
    """
    members = {f"{name}.npy": npy(np.asarray(array)) for name, array in arrays.items()}
    way = random.random()
    name = bent or random.choice(list(arrays))
    if way < 0.3:
        members[f"{name}.npy"] = bend(members[f"{name}.npy"], random, 128)
    elif way < 0.75:
        for chosen in [name, *random.sample(list(arrays), random.choice([0, 0, 1]))]:
            members[f"{chosen}.npy"] = npy(bend_array(np.asarray(arrays[chosen]), random))
    elif way < 0.8:
        other = random.choice(list(members))
        members[f"{name}.npy"] = members[other]
    buffer = io.BytesIO()
    kind = random.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    with zipfile.ZipFile(buffer, "w", kind) as file:
        for member, data in members.items():
            file.writestr(member, data)
    return bend(buffer.getvalue(), random, 200) if way >= 0.8 else buffer.getvalue()


def bend_png(data: bytes, random: Random) -> bytes:
    """A PNG with a chunk bent under a right checksum, or left out, or doubled."""
    chunks, at = [], 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    number = random.randrange(len(chunks))
    kind, content = chunks[number]
    way = random.random()
    if way < 0.7:
        chunks[number] = kind, bend(content, random, 16)
    elif way < 0.8:
        chunks[number] = bend(kind, random, 4)[:4].ljust(4, b"x"), content
    elif way < 0.9:
        del chunks[number]
    else:
        chunks.insert(random.randrange(len(chunks)), chunks[number])
    packed = [struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks]
    return data[:8] + b"".join(packed)


def bend_safetensors(data: bytes, random: Random) -> bytes:
    """A file of tensors with one value of its header changed, or bytes of it."""
    (length,) = struct.unpack_from("<Q", data)
    header, body = data[8 : 8 + length], data[8 + length :]
    if random.random() < 0.6:
        fields = json.loads(header)
        about = fields["__metadata__"]
        if random.random() < 0.5:
            about |= {"about": json.dumps(bend_json(json.loads(about.get("about", "{}")), random))}
        else:
            fields = bend_json(fields, random)
        header = json.dumps(fields).encode()
        return struct.pack("<Q", len(header)) + header + body
    if random.random() < 0.5:
        return bend(data[: 8 + length], random, 64) + body
    return bend(data, random)
