"""Render dressed people into small square pictures with OpenGL, many at a time.

A person is uploaded once and drawn in many poses, skinned on the GPU, two draw calls each. A batch is a grid of tiles
in one framebuffer, read back once. Runs without a window (EGL): on an NVIDIA driver, or in software with Mesa's
llvmpipe. For the frames see `shot`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import moderngl
import numpy as np

from lvd_live.errors import UserError
from lvd_live.synth import shaders
from lvd_live.synth.dressed import VERTEX, DressedPerson
from lvd_live.synth.shot import SHOT_BYTES, Identity, Shot, shot_block

_SHOT_STRIDE = 1536  # bytes between the shots of a batch; offsets of uniform blocks must be multiples of 256
_BODY_ATTRIBUTES = ("position", "normal", "canonical", "uv", "joint", "weight", "material", "mottle")
_BODY_LAYOUT = ("3f 3f 3f 2f 4u1 4f1 1u1 2f1 1x1", *_BODY_ATTRIBUTES)
_SHADOW_LAYOUT = ("3f 32x1 4u1 4f1 4x1", "position", "joint", "weight")
_SHOT_BINDING, _PERSON_BINDING = 0, 1
_TEXTURES_UNIT, _SHADOW_UNIT, _SKINS_UNIT = 0, 1, 2


class Renderer:
    """Draws batches of shots.

    Owns an OpenGL context: use it in the thread that made it; as a context manager it frees itself.
    """

    def __init__(
        self,
        size: int,
        batch: int = 16,
        *,
        textures: np.ndarray | None = None,
        skins: np.ndarray | None = None,
        smooth: bool = True,
        shadow_size: int = 256,
    ):
        """Make the context and everything in it. Raises UserError if no OpenGL 3.3 context can be made.

        size : pixels along a picture's side.
        batch : pictures per framebuffer; more shots than these are drawn in several.
        textures : (L, H, W, 4) uint8, Wardrobe.textures, or None. skins : Skins.textures, or None.
        smooth : antialiasing, by drawing at twice the size (cheaper in software than multisampling; smooths textures).
        shadow_size : pixels along the side of one shot's shadow map.
        """
        self._gl = _create_context()
        self.size, self._shadow_size, self._batch = size, shadow_size, batch
        self._columns = math.ceil(math.sqrt(batch))
        self._rows = math.ceil(batch / self._columns)
        self._side = size * (2 if smooth else 1)
        self._picture = self._grid_texture(self._side)
        self._canvas = self._gl.framebuffer([self._picture], self._gl.depth_renderbuffer(self._picture.size))
        self._target = self._gl.framebuffer([self._grid_texture(size)]) if smooth else self._canvas
        self._shadow_map = self._gl.depth_texture((shadow_size * self._columns, shadow_size * self._columns))
        self._shadow_map.compare_func = "<="
        self._shadow_map.repeat_x = self._shadow_map.repeat_y = False
        self._shadow_canvas = self._gl.framebuffer(depth_attachment=self._shadow_map)
        white = np.full((1, 4, 4, 4), 255, np.uint8)
        self._textures = self._texture_array(white if textures is None else textures)
        self._skins = self._texture_array(white if skins is None else skins)
        self._person_program, self._shadow_program = _person_program(self._gl), _shadow_program(self._gl)
        shrink = self._gl.program(vertex_shader=shaders.SHRINK_VERTEX, fragment_shader=shaders.SHRINK_FRAGMENT)
        self._screen = self._gl.vertex_array(shrink, [])
        self._shots = self._gl.buffer(reserve=_SHOT_STRIDE * batch, dynamic=True)

    def __enter__(self) -> Renderer:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Free the context and everything in it, identities too."""
        self._gl.release()

    def upload(self, person: DressedPerson) -> Identity:
        """Put a dressed person on the GPU."""
        vertices = self._gl.buffer(person.vertices.astype(VERTEX, copy=False).tobytes())
        faces = self._gl.buffer(person.faces.astype("u4").tobytes())
        shadow_faces = self._gl.buffer(person.shadow_faces.astype("u4").tobytes())
        body = [(vertices, *_BODY_LAYOUT)]
        caster = [(vertices, *_SHADOW_LAYOUT)]
        block = np.concatenate([person.materials.reshape(-1, 4), person.paint]).astype("f4")
        return Identity(
            joints=person.joints,
            body=self._gl.vertex_array(self._person_program, body, faces, index_element_size=4),
            indices=person.faces.size,
            one_sided=3 * person.one_sided,
            caster=self._gl.vertex_array(self._shadow_program, caster, shadow_faces, index_element_size=4),
            block=self._gl.buffer(block.tobytes()),
            buffers=(vertices, faces, shadow_faces),
        )

    def render(self, shots: Sequence[Shot]) -> np.ndarray:
        """Pictures of the shots, in order: (B, S, S, 4) uint8, RGBA, sRGB, row 0 on top.

        Alpha is the share of a pixel that the person covers. The colour is premultiplied by it, so that a picture on a
        background is rgb + (1 - alpha) * background.
        """
        pictures = [self._render_batch(shots[k : k + self._batch]) for k in range(0, len(shots), self._batch)]
        return np.concatenate(pictures) if pictures else np.zeros((0, self.size, self.size, 4), np.uint8)

    def _render_batch(self, shots: Sequence[Shot]) -> np.ndarray:
        tiles = [(k % self._columns, k // self._columns) for k in range(len(shots))]
        blocks = np.zeros((len(shots), _SHOT_STRIDE // 4), np.float32)
        for row, shot, tile in zip(blocks, shots, tiles, strict=True):
            row[: SHOT_BYTES // 4] = shot_block(shot, tile, self._columns)
        self._shots.write(blocks.tobytes())

        self._gl.enable_only(moderngl.DEPTH_TEST)
        if any(shot.light.shadow > 0 for shot in shots):
            self._shadow_canvas.use()
            self._shadow_canvas.clear(depth=1.0)
            self._draw(shots, tiles, self._shadow_canvas, self._shadow_size, _draw_shadow)
        self._canvas.use()
        self._canvas.clear(0.0, 0.0, 0.0, 0.0, depth=1.0)
        self._textures.use(_TEXTURES_UNIT)
        self._skins.use(_SKINS_UNIT)
        self._shadow_map.use(_SHADOW_UNIT)
        self._draw(shots, tiles, self._canvas, self._side, self._draw_body)
        if self._target is not self._canvas:
            self._target.use()
            self._gl.disable(moderngl.DEPTH_TEST)
            self._picture.use(0)
            self._screen.render(moderngl.TRIANGLES, vertices=3)
        pixels = np.frombuffer(self._target.read(components=4, alignment=4), np.uint8)
        grid = pixels.reshape(self._rows, self.size, self._columns, self.size, 4).swapaxes(1, 2)
        return grid.reshape(-1, self.size, self.size, 4)[: len(shots)].copy()

    def _draw(
        self,
        shots: Sequence[Shot],
        tiles: Sequence[tuple[int, int]],
        canvas: moderngl.Framebuffer,
        side: int,
        draw: Callable[[Shot], None],
    ) -> None:
        """Call `draw` for each shot with its blocks bound and the canvas limited to its tile, `side` pixels square."""
        for k, (shot, (column, row)) in enumerate(zip(shots, tiles, strict=True)):
            canvas.viewport = canvas.scissor = (column * side, row * side, side, side)
            self._shots.bind_to_uniform_block(_SHOT_BINDING, offset=k * _SHOT_STRIDE, size=SHOT_BYTES)
            shot.identity.block.bind_to_uniform_block(_PERSON_BINDING)
            draw(shot)
        canvas.viewport = canvas.scissor = (0, 0, *canvas.size)

    def _draw_body(self, shot: Shot) -> None:
        body, one_sided = shot.identity.body, shot.identity.one_sided
        self._gl.enable(moderngl.CULL_FACE)
        body.render(vertices=one_sided)
        self._gl.disable(moderngl.CULL_FACE)
        body.render(vertices=shot.identity.indices - one_sided, first=one_sided)

    def _grid_texture(self, side: int) -> moderngl.Texture:
        return self._gl.texture((side * self._columns, side * self._rows), 4)

    def _texture_array(self, pictures: np.ndarray) -> moderngl.TextureArray:
        layers, height, width = pictures.shape[:3]
        texture = self._gl.texture_array((width, height, layers), 4, np.ascontiguousarray(pictures).tobytes())
        texture.build_mipmaps()
        texture.filter = (moderngl.LINEAR_MIPMAP_NEAREST, moderngl.LINEAR)
        return texture


def _create_context() -> moderngl.Context:
    """An OpenGL context without a window. Raises UserError if none can be made."""
    settings: dict[str, Any] = {"backend": "egl"}
    try:
        context = moderngl.create_context(standalone=True, require=330, **settings)
    except Exception as error:  # moderngl raises bare Exception
        message = f"No OpenGL through EGL ({error}); install libegl1 and a driver (libgl1-mesa-dri draws in software)."
        raise UserError(message) from None
    context.front_face = "cw"  # y is flipped
    return context


def _person_program(context: moderngl.Context) -> moderngl.Program:
    program = context.program(vertex_shader=shaders.PERSON_VERTEX, fragment_shader=shaders.PERSON_FRAGMENT)
    _bind_block(program, "ShotBlock", _SHOT_BINDING)
    _bind_block(program, "PersonBlock", _PERSON_BINDING)
    for name, unit in (("textures", _TEXTURES_UNIT), ("shadow_map", _SHADOW_UNIT), ("skins", _SKINS_UNIT)):
        sampler = program[name]
        assert isinstance(sampler, moderngl.Uniform)
        sampler.value = unit
    return program


def _shadow_program(context: moderngl.Context) -> moderngl.Program:
    program = context.program(vertex_shader=shaders.SHADOW_VERTEX, fragment_shader=shaders.SHADOW_FRAGMENT)
    _bind_block(program, "ShotBlock", _SHOT_BINDING)
    return program


def _bind_block(program: moderngl.Program, name: str, binding: int) -> None:
    block = program[name]
    assert isinstance(block, moderngl.UniformBlock)
    block.binding = binding


def _draw_shadow(shot: Shot) -> None:
    if shot.light.shadow > 0:
        shot.identity.caster.render()
