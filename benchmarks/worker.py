"""One implementation of one workload, in a process of its own that waits for orders.

    python -m benchmarks.worker IMPLEMENTATION WORKLOAD PICTURES.npz

A line of JSON in, a line of JSON out:

    {"do": "start", "spawned": when, by time.time()}
        -> import_seconds, first_step_seconds (from `spawned`), first_step_cpu_seconds
           (of all threads), parameters, device, device_name, versions
    {"do": "run", "steps": N} -> seconds, cpu_seconds, losses of the last steps
    {"do": "memory"} -> peak_memory_mb
    {"do": "quit"}

A failure is answered by {"error": the traceback}.
"""

import importlib
import json
import os
import resource
import sys
import time
import traceback

from benchmarks import workloads

MODULES = {
    "gencourse": "benchmarks.in_flax",
    "flax": "benchmarks.in_flax",
    "keras": "benchmarks.in_keras",
    "keras_xla": "benchmarks.in_keras",
    "torch": "benchmarks.in_torch",
    "torch_compile": "benchmarks.in_torch",
    "torch_plain": "benchmarks.in_torch",
}


class Worker:
    def __init__(self, implementation, workload, pictures):
        self.implementation = implementation
        self.workload = workloads.find(workload)
        self.pictures = pictures

    def start(self, spawned):
        before = time.perf_counter()
        module = importlib.import_module(MODULES[self.implementation])
        import_seconds = time.perf_counter() - before
        data = workloads.read(self.pictures, self.workload)
        self.run_steps, facts = module.build(self.implementation, self.workload, data)
        self.run_steps(1)
        return {
            "import_seconds": import_seconds,
            "first_step_seconds": time.time() - spawned,
            "first_step_cpu_seconds": time.process_time(),  # since the process began
            **facts,
        }

    def run(self, steps):
        wall, cpu = time.perf_counter(), time.process_time()
        losses = self.run_steps(steps)
        return {
            "seconds": time.perf_counter() - wall,
            "cpu_seconds": time.process_time() - cpu,
            "losses": losses,
        }

    def memory(self):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {"peak_memory_mb": peak / (2**20 if sys.platform == "darwin" else 2**10)}


def main():
    # What the frameworks print goes to stderr: stdout is for answers alone.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker(*sys.argv[1:])
    for line in sys.stdin:
        order = json.loads(line)
        do = order.pop("do")
        if do == "quit":
            break
        try:
            answer = getattr(worker, do)(**order)
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
