"""What XLA is told where code for a CPU shall be made soon rather than run fast.

A training step is compiled five times sooner, and takes twice as long.
"""

on = True  # a test may switch it off for itself
OPTIONS = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
FLAGS = " ".join(f"--{name}={str(value).lower()}" for name, value in OPTIONS.items())

# A third less to compile, and a sixth more to run.
FEWER_KERNELS = "--xla_cpu_use_fusion_emitters=false"
