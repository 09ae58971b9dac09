"""Writes what scripts/gpu-check finds on a machine: the GPU and its clocks, driver, toolkit and libraries, as JSON."""
import argparse
import re
import subprocess

import turns

GPU_FIELDS = ["name", "driver_version", "compute_cap", "memory.total", "pstate", "clocks.sm", "clocks.mem",
              "clocks.max.sm", "clocks.max.mem", "power.limit", "temperature.gpu", "ecc.mode.current",
              "persistence_mode"]


def output_of(command):
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return run.stdout.strip() if run.returncode == 0 else ""


def gpu(index):
    # One by one: nvidia-smi answers nothing at all where it does not know one of several fields.
    values = {
        field: output_of(["nvidia-smi", "-i", index, f"--query-gpu={field}", "--format=csv,noheader"])
        for field in GPU_FIELDS
    }
    return {field: value for field, value in values.items() if value}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gpu", required=True, help="as nvidia-smi -i takes it")
    parser.add_argument("--nvcc", required=True)
    parser.add_argument("--qmse", required=True, help="the program, for its list of libraries")
    parser.add_argument("--json", required=True)
    arguments = parser.parse_args()
    version = re.search(r"release ([\d.]+), V([\d.]+)", output_of([arguments.nvcc, "--version"]))
    record = {
        "revision": turns.git_revision(),
        "gpu": gpu(arguments.gpu),
        "nvcc": version.group(2) if version else "unknown",
        "info": output_of([arguments.qmse, "info"]).splitlines(),
    }
    turns.write_json(arguments.json, record)


if __name__ == "__main__":
    main()
