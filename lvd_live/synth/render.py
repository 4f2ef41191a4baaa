"""Render dressed people into small square pictures with OpenGL, many at a time.

A person is uploaded once and drawn in many poses, skinned on the GPU, two draw calls each. A batch is a grid of tiles in one framebuffer, read back once.
Runs without a window (EGL): on an NVIDIA driver, or in software with Mesa's llvmpipe.

Camera frame: metres, x right, y up, z toward the viewer, camera at the origin looking along -z. Crop frame: x right, y up, edges at -1 and 1;
x_crop = focal * X / -Z + offset[0], y_crop = focal * Y / -Z + offset[1].
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import moderngl
import numpy as np

from lvd_live.errors import UserError
from lvd_live.synth import shaders
from lvd_live.synth.dressed import VERTEX, DressedPerson
from lvd_live.synth.lighting import Light

_SHOT_BYTES = 16 * (72 + 1 + 3 + 1 + 2 + 2 + 4)
_SHOT_STRIDE = 1536
_LAYOUT = (
    "3f 3f 3f 2f 4u1 4f1 1u1 2f1 1x1",
    "position",
    "normal",
    "canonical",
    "uv",
    "joint",
    "weight",
    "material",
    "mottle",
)
_SHADOW_LAYOUT = ("3f 32x1 4u1 4f1 4x1", "position", "joint", "weight")


@dataclass(frozen=True)
class Identity:
    """A person on the GPU; made by Renderer.upload, freed by release or with the `with` statement."""

    joints: np.ndarray
    body: moderngl.VertexArray
    indices: int
    one_sided: int
    caster: moderngl.VertexArray
    block: moderngl.Buffer
    buffers: tuple[moderngl.Buffer, ...]

    def release(self) -> None:
        """Free the GPU's memory; the identity cannot be drawn any more."""
        for thing in (self.body, self.caster, self.block, *self.buffers):
            thing.release()

    def __enter__(self) -> "Identity":
        return self

    def __exit__(self, *_) -> None:
        self.release()


@dataclass(frozen=True)
class Shot:
    """One picture: an uploaded person, a pose, a camera, a light.

    bone_matrices: (24,3,4) float, rest pose in the body frame -> camera frame, metres.
    focal: in half crops per unit of X/-Z. offset: (x, y) of the optical axis in the crop frame.
    """

    identity: Identity
    bone_matrices: np.ndarray
    focal: float
    offset: tuple[float, float]
    light: Light


class Renderer:
    """Draws batches of shots. Owns an OpenGL context: use it in the thread that made it; as a context manager it frees itself.

    size: pixels along a picture's side.
    textures: (L,H,W,4) uint8, Wardrobe.textures, or None.
    batch: pictures per framebuffer; any number of shots may be rendered, it is split.
    smooth: antialiasing, by drawing at twice the size (cheaper in software than multisampling, and it smooths textures too).
    shadow_size: pixels along the side of one shot's shadow map.
    Raises UserError if no OpenGL 3.3 context can be made.
    """

    def __init__(
        self,
        size: int,
        batch: int = 16,
        *,
        textures: np.ndarray | None = None,
        smooth: bool = True,
        shadow_size: int = 256,
    ):
        try:
            self._gl = moderngl.create_context(standalone=True, backend="egl", require=330)
        except Exception as error:  # moderngl raises bare Exception
            raise UserError(
                f"No OpenGL through EGL ({error}); install libegl1 and a driver (libgl1-mesa-dri draws in software)."
            ) from None
        self.size, self._shadow_size = size, shadow_size
        self._columns = math.ceil(math.sqrt(batch))
        self._rows = math.ceil(batch / self._columns)
        self._batch = batch
        self._side = size * (2 if smooth else 1)
        grid = (self._columns, self._rows)
        self._canvas = self._frame(self._side, grid, depth=True)
        self._target = self._frame(size, grid) if smooth else self._canvas
        self._shadow_map = self._gl.depth_texture((shadow_size * self._columns, shadow_size * self._columns))
        self._shadow_map.compare_func = "<="
        self._shadow_map.repeat_x = self._shadow_map.repeat_y = False
        self._shadow_canvas = self._gl.framebuffer(depth_attachment=self._shadow_map)
        self._textures = self._texture_array(np.full((1, 4, 4, 4), 255, np.uint8) if textures is None else textures)
        self._program = self._gl.program(vertex_shader=shaders.PERSON_VERTEX, fragment_shader=shaders.PERSON_FRAGMENT)
        self._shadow_program = self._gl.program(
            vertex_shader=shaders.SHADOW_VERTEX, fragment_shader=shaders.SHADOW_FRAGMENT
        )
        self._shrink = self._gl.program(vertex_shader=shaders.SHRINK_VERTEX, fragment_shader=shaders.SHRINK_FRAGMENT)
        self._screen = self._gl.vertex_array(self._shrink, [])
        for program in (self._program, self._shadow_program):
            program["ShotBlock"].binding = 0
        self._program["PersonBlock"].binding = 1
        self._program["textures"].value = 0
        self._program["shadow_map"].value = 1
        self._gl.front_face = "cw"  # y is flipped
        self._shots = self._gl.buffer(reserve=_SHOT_STRIDE * batch, dynamic=True)

    def __enter__(self) -> "Renderer":
        return self

    def __exit__(self, *_) -> None:
        self.release()

    def release(self) -> None:
        """Free the context and everything in it, identities too."""
        self._gl.release()

    @property
    def device(self) -> str:
        """The driver's name for what draws, e.g. "llvmpipe (LLVM 15.0.6, 256 bits)"."""
        return self._gl.info["GL_RENDERER"]

    def upload(self, person: DressedPerson) -> Identity:
        """Put a dressed person on the GPU."""
        vertices = self._gl.buffer(person.vertices.astype(VERTEX, copy=False).tobytes())
        faces = self._gl.buffer(person.faces.astype("u4").tobytes())
        shadow_faces = self._gl.buffer(person.shadow_faces.astype("u4").tobytes())
        return Identity(
            joints=person.joints,
            body=self._gl.vertex_array(self._program, [(vertices, *_LAYOUT)], faces, index_element_size=4),
            indices=person.faces.size,
            one_sided=3 * person.one_sided,
            caster=self._gl.vertex_array(
                self._shadow_program, [(vertices, *_SHADOW_LAYOUT)], shadow_faces, index_element_size=4
            ),
            block=self._gl.buffer(
                np.concatenate([person.materials.reshape(-1, 4), person.paint]).astype("f4").tobytes()
            ),
            buffers=(vertices, faces, shadow_faces),
        )

    def render(self, shots: Sequence[Shot]) -> np.ndarray:
        """Pictures of the shots, in order: (B,S,S,4) uint8, RGBA, sRGB, row 0 on top.

        Alpha is the share of a pixel that the person covers; the colour is premultiplied by it, so that a picture on a background is rgb + (1 - alpha) * background.
        """
        pictures = [self._render(shots[k : k + self._batch]) for k in range(0, len(shots), self._batch)]
        return np.concatenate(pictures) if pictures else np.zeros((0, self.size, self.size, 4), np.uint8)

    def _render(self, shots: Sequence[Shot]) -> np.ndarray:
        tiles = [(k % self._columns, k // self._columns) for k in range(len(shots))]
        block = np.zeros((len(shots), _SHOT_STRIDE // 4), np.float32)
        for row, shot, tile in zip(block, shots, tiles, strict=True):
            row[: _SHOT_BYTES // 4] = self._shot_block(shot, tile)
        self._shots.write(block.tobytes())

        self._gl.enable_only(moderngl.DEPTH_TEST)
        if any(shot.light.shadow > 0 for shot in shots):
            self._shadow_canvas.use()
            self._shadow_canvas.clear(depth=1.0)
            self._draw(shots, tiles, self._shadow_canvas, self._shadow_size, _draw_shadow)
        self._canvas.use()
        self._canvas.clear(0.0, 0.0, 0.0, 0.0, depth=1.0)
        self._textures.use(0)
        self._shadow_map.use(1)
        self._draw(shots, tiles, self._canvas, self._side, self._draw_body)
        if self._target is not self._canvas:
            self._target.use()
            self._gl.disable(moderngl.DEPTH_TEST)
            self._canvas.color_attachments[0].use(0)
            self._screen.render(moderngl.TRIANGLES, vertices=3)
        pixels = np.frombuffer(self._target.read(components=4, alignment=4), np.uint8)
        grid = pixels.reshape(self._rows, self.size, self._columns, self.size, 4).swapaxes(1, 2)
        return grid.reshape(-1, self.size, self.size, 4)[: len(shots)].copy()

    def _draw(self, shots, tiles, canvas, side, draw) -> None:
        for k, (shot, (column, row)) in enumerate(zip(shots, tiles, strict=True)):
            canvas.viewport = canvas.scissor = (column * side, row * side, side, side)
            self._shots.bind_to_uniform_block(0, offset=k * _SHOT_STRIDE, size=_SHOT_BYTES)
            shot.identity.block.bind_to_uniform_block(1)
            draw(shot)
        canvas.viewport = (0, 0, *canvas.size)
        canvas.scissor = None

    def _draw_body(self, shot: Shot) -> None:
        body, one_sided = shot.identity.body, shot.identity.one_sided
        self._gl.enable(moderngl.CULL_FACE)
        body.render(vertices=one_sided)
        self._gl.disable(moderngl.CULL_FACE)
        body.render(vertices=shot.identity.indices - one_sided, first=one_sided)

    def _shot_block(self, shot: Shot, tile: tuple[int, int]) -> np.ndarray:
        bones = np.asarray(shot.bone_matrices, np.float32)
        light = shot.light
        toward = light.directions / np.linalg.norm(light.directions, axis=1, keepdims=True)
        rows = np.zeros((_SHOT_BYTES // 16, 4), np.float32)
        rows[:72] = bones.reshape(72, 4)
        rows[72] = [shot.focal, shot.offset[0], shot.offset[1], 0.0]
        if light.shadow > 0:
            rows[73:76] = _light_clip(
                np.einsum("jab,jb->ja", bones[:, :, :3], shot.identity.joints) + bones[:, :, 3], toward[0]
            )
        rows[76] = [tile[0], tile[1], self._columns, light.shadow]
        rows[77:79, :3] = toward
        rows[79:81, :3] = light.colours
        rows[81:85, :3] = light.ambient
        return rows.ravel()

    def _frame(self, side: int, grid: tuple[int, int], depth: bool = False) -> moderngl.Framebuffer:
        area = (side * grid[0], side * grid[1])
        return self._gl.framebuffer([self._gl.texture(area, 4)], self._gl.depth_renderbuffer(area) if depth else None)

    def _texture_array(self, pictures: np.ndarray) -> moderngl.TextureArray:
        layers, height, width = pictures.shape[:3]
        texture = self._gl.texture_array((width, height, layers), 4, np.ascontiguousarray(pictures).tobytes())
        texture.build_mipmaps()
        texture.filter = (moderngl.LINEAR_MIPMAP_NEAREST, moderngl.LINEAR)
        return texture


def _draw_shadow(shot: Shot) -> None:
    if shot.light.shadow > 0:
        shot.identity.caster.render()


def _light_clip(joints: np.ndarray, toward: np.ndarray) -> np.ndarray:
    """(3,4) float32: camera frame -> the light's view, x, y in -1..1, depth 0 (near the light) .. 1, around the posed joints (24,3), metres."""
    middle = 0.5 * (joints.min(axis=0) + joints.max(axis=0))
    radius = np.linalg.norm(joints - middle, axis=1).max() + 0.25
    helper = np.array([0.0, 1.0, 0.0]) if abs(toward[1]) < 0.9 else np.array([1.0, 0.0, 0.0])
    right = np.cross(helper, toward)
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(toward, right), -toward]) / radius
    axes[2] *= 0.5
    return np.column_stack([axes, -axes @ middle + np.array([0.0, 0.0, 0.5])]).astype(np.float32)
