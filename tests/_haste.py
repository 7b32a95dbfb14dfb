"""What XLA is told where code for a CPU shall be made soon rather than run fast.

A training step is compiled five times sooner, and takes twice as long.
"""

OPTIONS = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
FLAGS = " ".join(f"--{name}={str(value).lower()}" for name, value in OPTIONS.items())
