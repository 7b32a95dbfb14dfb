"""Generative image models in Flax NNX, and what trains, draws and measures them.

autoencoder, vae, gan, dcgan, cgan, pix2pix, cyclegan: a chapter's networks and step
vae_faces, cgan_conv, cgan_maxout: more networks for chapters 2 and 5
conditions: labels, as networks are told them
data: load, scale: uint8 pictures and labels     train: fit, the training loop
checkpoint: save, restore                        layers: Flax's own, quicker on a CPU
metrics: judges, distances, a diagnosis          plot: grids, curves, animations
checks: is the answer to an exercise right?      notebook: budget, source
inference: networks in batches                   validation: checks of arguments
system: files, memory, caches                    cli: `python -m gencourse`
"""

from importlib import metadata

__version__ = metadata.version("gencourse")
