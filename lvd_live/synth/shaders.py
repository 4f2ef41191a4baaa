"""GLSL of the renderer: GPU skinning, procedural skin and cloth, light, shadow.

`shot.shot_block` fills ShotBlock, `dressed.DressedPerson` holds what PersonBlock takes. Pictures are written top row
first: y is flipped in the vertex shader. Colours are lit in linear light, gamma 2.
"""

from __future__ import annotations

MATERIAL_COUNT = 12
"""Materials of one person; rows of PersonBlock's materials, 5 vec4 each."""

_SHOT = """
struct Shot {
    vec4 bones[72];           // 24 x three rows of (3, 4): body rest -> camera, metres
    vec4 projection;          // focal, offset x, offset y, unused
    vec4 shadow[3];           // rows of camera -> light clip (x, y, depth in 0..1)
    vec4 shadow_tile;         // column, row of the tile in the shadow atlas; tiles per side; strength
    vec4 light_direction[2];  // toward the light, camera frame; w unused
    vec4 light_colour[2];
    vec4 ambient[4];          // linear SH: constant, x, y, z
};
layout(std140) uniform ShotBlock { Shot shot; };
"""

_SKIN = """
in vec3 position;
in uvec4 joint;
in vec4 weight;

vec4 rows[3];

vec3 skinned() {
    for (int r = 0; r < 3; ++r)
        rows[r] = weight.x * shot.bones[int(joint.x) * 3 + r] + weight.y * shot.bones[int(joint.y) * 3 + r]
                + weight.z * shot.bones[int(joint.z) * 3 + r] + weight.w * shot.bones[int(joint.w) * 3 + r];
    vec4 p = vec4(position, 1.0);
    return vec3(dot(rows[0], p), dot(rows[1], p), dot(rows[2], p));
}
"""

SHADOW_VERTEX = (
    "#version 330\n"
    + _SHOT
    + _SKIN
    + """
void main() {
    vec4 p = vec4(skinned(), 1.0);
    gl_Position = vec4(dot(shot.shadow[0], p), dot(shot.shadow[1], p), 2.0 * dot(shot.shadow[2], p) - 1.0, 1.0);
}
"""
)

SHADOW_FRAGMENT = "#version 330\nvoid main() {}\n"

PERSON_VERTEX = (
    "#version 330\n"
    + _SHOT
    + _SKIN
    + """
in vec3 normal;
in vec3 canonical;
in vec2 uv;
in uint material;
in vec2 mottle;

out vec3 v_position;
out vec3 v_normal;
out vec3 v_canonical;
out vec2 v_uv;
out vec3 v_shadow;
out vec2 v_mottle;
flat out int v_material;

void main() {
    vec3 p = skinned();
    v_position = p;
    v_normal = vec3(dot(rows[0].xyz, normal), dot(rows[1].xyz, normal), dot(rows[2].xyz, normal));
    v_canonical = canonical;
    v_uv = uv;
    v_mottle = mottle;
    v_material = int(material);
    vec4 q = vec4(p + normalize(v_normal) * 0.008, 1.0);
    v_shadow = vec3(dot(shot.shadow[0], q), dot(shot.shadow[1], q), dot(shot.shadow[2], q));
    float depth = -p.z;
    const float near = 0.05, far = 60.0;
    gl_Position = vec4(shot.projection.x * p.x + shot.projection.y * depth,
                       -(shot.projection.x * p.y + shot.projection.z * depth),
                       (far + near) / (far - near) * depth - 2.0 * far * near / (far - near), depth);
}
"""
)

PERSON_FRAGMENT = (
    "#version 330\n#define MATERIALS "
    + str(MATERIAL_COUNT)
    + _SHOT
    + """
struct Material {
    vec4 colour;     // rgb linear; layer of the texture array (of skins, for skin), -1 for none
    vec4 second;     // rgb of the pattern; pattern: 0 plain, 1 stripes, 2 plaid, 3 spots, 4 noise
    vec4 pattern;    // waves per metre, angle, edge sharpness, mix
    vec4 kind;       // 0 cloth, 1 alpha card, 2 skin, 3 eye; how much of the texture's colour; specular; unused
    vec4 cut;        // cloth: discard where |x| > cut.x, y < cut.y or y > cut.z (canonical, metres)
};
layout(std140) uniform PersonBlock {
    Material materials[MATERIALS];
    vec4 paint[8];   // skin paint, see outfit.Paint.rows
};
uniform sampler2DArray textures;
uniform sampler2DArray skins;
uniform sampler2DShadow shadow_map;

in vec3 v_position;
in vec3 v_normal;
in vec3 v_canonical;
in vec2 v_uv;
in vec3 v_shadow;
in vec2 v_mottle;
flat in int v_material;
out vec4 fragment;

float hash(vec3 p) {
    p = fract(p * vec3(0.1031, 0.1030, 0.0973));
    p += dot(p, p.yzx + 33.33);
    return fract((p.x + p.y) * p.z);
}

float noise(vec3 p) {
    vec3 i = floor(p), f = fract(p);
    f = f * f * (3.0 - 2.0 * f);
    return mix(mix(mix(hash(i), hash(i + vec3(1, 0, 0)), f.x),
                   mix(hash(i + vec3(0, 1, 0)), hash(i + vec3(1, 1, 0)), f.x), f.y),
               mix(mix(hash(i + vec3(0, 0, 1)), hash(i + vec3(1, 0, 1)), f.x),
                   mix(hash(i + vec3(0, 1, 1)), hash(i + vec3(1, 1, 1)), f.x), f.y), f.z);
}

float pattern_value(vec4 p, float which, vec3 x, float grain) {
    vec2 q = mat2(cos(p.y), sin(p.y), -sin(p.y), cos(p.y)) * x.xy * p.x;
    float s = sin(6.2832 * q.x), t = sin(6.2832 * q.y);
    if (which < 1.5) return smoothstep(-p.z, p.z, s);
    if (which < 2.5) return 0.5 * smoothstep(-p.z, p.z, s) + 0.5 * smoothstep(-p.z, p.z, t);
    if (which < 3.5) return smoothstep(0.3 - p.z, 0.3 + p.z, s * t);
    return smoothstep(0.5 - p.z, 0.5 + p.z, grain);
}

// What is painted on the skin at x: 0 nothing, 1 bottom, 2 top, 3 socks and gloves.
// Each edge is a plane in the rest pose.
int painted(vec3 x) {
    int part = 0;
    float ax = abs(x.x);
    if (paint[3].w > 0.5 && x.y < paint[1].x && x.y > paint[1].y && ax < 0.40) part = 1;
    float collar = paint[0].y - 0.06 * smoothstep(0.10, 0.0, ax) * paint[1].w;
    if (paint[2].w > 0.5 && (ax < paint[0].z || x.y < 0.33) && x.y > paint[0].x
        && (x.y < collar || (ax > paint[0].w && x.y < 0.56))) part = 2;
    if (paint[4].w > 0.5 && (x.y < paint[4].y || ax > paint[4].z)) part = 3;
    return part;
}

void main() {
    Material m = materials[v_material];
    float kind = m.kind.x;
    if (kind < 0.5 && (abs(v_canonical.x) > m.cut.x || v_canonical.y < m.cut.y || v_canonical.y > m.cut.z)) discard;
    vec4 texel = vec4(1.0);
    bool skin = kind > 1.5 && kind < 2.5;
    if (m.colour.w >= 0.0) {
        vec3 place = vec3(v_uv, m.colour.w);
        texel = skin ? texture(skins, place) : texture(textures, place);
    }
    if (kind > 0.5 && kind < 1.5 && texel.a < 0.35) discard;

    vec3 view = normalize(-v_position);
    vec3 n = normalize(v_normal);
    if (dot(n, view) < 0.0) n = -n;

    // One pattern per pixel, of the cloth or of the paint; where there is none, its noise grains the skin.
    int part = skin ? painted(v_canonical) : 0;
    vec4 wave = skin ? vec4(paint[6].w, paint[4].x, 0.15, 1.0) : m.pattern;
    vec4 second = skin ? paint[7] * (part == 2 ? 1.0 : 0.0) : m.second;
    bool patterned = second.w > 0.5;
    float grain = noise(v_canonical * (patterned ? 2.0 * wave.x : 90.0) + 17.0 * wave.y);

    vec3 albedo = m.colour.rgb;
    float specular = m.kind.z, shininess = 24.0;
    if (skin) {
        if (m.colour.w >= 0.0) {
            albedo *= texel.rgb * texel.rgb * (0.96 + 0.08 * grain);
        } else {
            vec3 lips = (v_canonical - paint[5].xyz) / vec3(0.024, 0.0085, 0.03);
            albedo *= mix(vec3(1.0), paint[6].rgb, 0.8 * smoothstep(1.15, 0.8, dot(lips, lips)));
            albedo *= (0.82 + 0.36 * v_mottle.x) * mix(vec3(1.0), vec3(1.12, 0.93, 0.92), v_mottle.y)
                      * (0.94 + 0.12 * grain);
        }
        if (part > 0) {
            albedo = part == 2 ? paint[2].rgb : paint[3].rgb * (part == 1 ? 1.0 : 0.7);
            specular *= 0.3;
        }
    } else if (kind < 0.5) {
        albedo = mix(albedo, texel.rgb * texel.rgb, m.kind.y);
    } else if (kind < 1.5) {
        albedo *= texel.rgb;
    } else {
        float r = length(v_uv);
        albedo = r < 0.22 ? vec3(0.01) : (r < 0.5 ? albedo * (0.6 + 0.8 * r) : vec3(0.75, 0.72, 0.70));
        shininess = 90.0;
    }
    if (patterned) albedo = mix(albedo, second.rgb, wave.w * pattern_value(wave, second.w, v_canonical, grain));
    if (kind < 0.5) albedo *= texel.a;

    float lit = 1.0;
    if (shot.shadow_tile.w > 0.0) {
        vec2 s = (clamp(v_shadow.xy * 0.5 + 0.5, 0.0, 1.0) + shot.shadow_tile.xy) / shot.shadow_tile.z;
        lit = mix(1.0, texture(shadow_map, vec3(s, v_shadow.z - 0.004)), shot.shadow_tile.w);
    }
    vec3 light = max(shot.ambient[0].rgb + shot.ambient[1].rgb * n.x
                     + shot.ambient[2].rgb * n.y + shot.ambient[3].rgb * n.z, 0.0);
    vec3 glare = vec3(0.0);
    for (int i = 0; i < 2; ++i) {
        vec3 l = shot.light_direction[i].xyz;
        vec3 radiance = shot.light_colour[i].rgb * (i == 0 ? lit : 1.0);
        light += radiance * max(dot(n, l), 0.0);
        glare += radiance * pow(max(dot(n, normalize(l + view)), 0.0), shininess);
    }
    vec3 colour = albedo * light + specular * glare;
    fragment = vec4(sqrt(clamp(colour, 0.0, 1.0)), 1.0);
}
"""
)

SHRINK_VERTEX = """#version 330
out vec2 place;
void main() {
    place = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 2.0;
    gl_Position = vec4(place * 2.0 - 1.0, 0.0, 1.0);
}
"""

SHRINK_FRAGMENT = """#version 330
uniform sampler2D picture;  // twice the size: linear filtering averages 2 x 2 pixels
in vec2 place;
out vec4 fragment;
void main() { fragment = texture(picture, place); }
"""
