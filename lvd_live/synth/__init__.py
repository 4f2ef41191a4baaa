"""Synthetic people: bodies, clothes, poses, light, and what the person finder makes of their pictures.

Where to find what:
    dataset           shards of samples: made, written, read
    people            bodies, views and the crop that the network gets
    motion            the bank of poses; `pose_variation` varies them
    outfit            what somebody wears; `outfit_sampling` chooses it out of the `wardrobe` of garments (`garment`)
    dressed           a person as one mesh, on MakeHuman's `base_mesh`; `surface` holds the mesh algorithms
    render            pictures by OpenGL, of shots (`shot`) under light (`lighting`); `shaders` holds the GLSL
    surroundings      panoramas behind the person and their light; `skins` are maps of whole bodies, with faces
    backdrop          random backdrops and occluders, and what a camera adds; `composition` puts a picture together
    observe           the person finder's result on a synthetic picture; `misread`: how often it errs, and how
    bake              everything in models/ that is not trained: poses by `retarget` and `retarget_gltf`, garments
                      by `bake_wardrobe`, which reads them with `mhclo` and binds them to the base mesh with `bind`
    cli               the `synth` tool
"""
