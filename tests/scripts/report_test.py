"""bench/report.py on made-up records: no figure here was measured. report_test.py SOURCE_DIR"""
import json
import os
import py_compile
import subprocess
import sys
import tempfile

SOURCE = sys.argv[1]


def statistic(median):
    return {"median": median, "min": median / 2, "max": 2 * median, "n": 7}


def fill(folder):
    def put(name, content):
        with open(os.path.join(folder, name), "w") as file:
            file.write(content if isinstance(content, str) else json.dumps(content))

    put("parts.txt", "build passed 11\ntest FAILED 12\n")
    put("test.log", "92% tests passed, 1 tests failed out of 12\n\nThe following tests did not run:\n\t3 - gpu: two GPUs (Skipped)\n")
    put("sanitize-memcheck.txt", "memcheck: no error, all kernel tests (13 s)\n")
    put("clocks.csv", "1000, 2000, 300.5, 40\n1200, 2000, 310.5, 42\n1100, 2000, [N/A], 41\nbroken line\n")
    put("machine.json", {"revision": "made-up", "gpu": {"name": "Imaginary 1"}, "nvcc": "0.0", "info": ["qmse 0"]})
    put("kernels.json", {
        "l2_bytes": 1 << 20, "graph_launches": 32,
        "copy": {"bytes": 1 << 31, "n": 7, "bytes_per_second": 1e12, "bytes_per_second_after": 1.5e12},
        "cases": [{"operation": "fill", "shape": "1024", "bytes_formula": "4 n", "bytes": 4096, "l2": "warm", "n": 7,
                   "median_s": 2e-6, "min_s": 1e-6, "max_s": 4e-6, "bytes_per_second": 2.048e9, "share_of_copy": 0.25}],
    })
    put("loss.json", {
        "command": "made-up", "versions": {"pytorch": "PyTorch 0"}, "not_measured": [{"case": "9x9", "why": "the time limit"}],
        "results": [{"batch": 8, "classes": 10, "targets": "labels", "distribution": "sphere", "skipped": {"other": "other: gone"},
                     "seconds_per_call": {"qmse": statistic(1e-6), "pytorch": statistic(8e-6)},
                     "ratio": {"pytorch": statistic(8.0)}}],
    })
    put("step.json", {
        "command": "made-up", "versions": {}, "not_measured": [{"shape": "mnist", "batch": 9, "why": "the time limit"}],
        "results": [
            {"shape": "mnist", "batch": 64, "math": "fp32", "skipped": {}, "ratio": {"jax": statistic(3.0)},
             "images_per_second": {"qmse": statistic(3e6), "jax": statistic(1e6)},
             "epoch_seconds": {"qmse": statistic(0.5), "jax": statistic(1.5)}, "epoch_ratio": {"jax": statistic(3.0)}},
            {"shape": "mnist", "batch": 256, "math": "fp32", "skipped": {}, "ratio": {},
             "images_per_second": {"qmse": statistic(3e6)}},
        ],
    })
    os.mkdir(os.path.join(folder, "train-graph"))
    put("train-graph/metrics.jsonl", '{"epoch": 1, "test_accuracy": 0.5, "images_per_second": 123456}\n')


def report(folder):
    files = [os.path.join(folder, name) for name in ("out.json", "out.md")]
    command = [sys.executable, os.path.join(SOURCE, "bench", "report.py"), "--work", folder, "--json", files[0], "--markdown"]
    subprocess.run(command + [files[1]], check=True, stdout=subprocess.DEVNULL)
    with open(files[0]) as record, open(files[1]) as text:
        return json.load(record), text.read()


EXPECTED = [
    "# qmse on Imaginary 1",
    "| sm_mhz | 1100 (1000–1200) | 2 |",  # the two samples that can be read
    "| test | FAILED | 12 |",
    "GPU tests: 12, failed 1, skipped 1\n- skipped: gpu: two GPUs",
    "- memcheck: no error, all kernel tests (13 s)",
    "- racecheck: not run",
    "| CUDA graphs | 1 | 50.00 | 123456 |",
    "| fill | 1024 | 4 n | warm | 2.00 (1.00–4.00) | 7 | 2.05 | 25.0 |",
    "| 8 × 10 | labels, sphere | pytorch | 1.00 (0.500–2.00) | 8.00 (4.00–16.0) | 8.00 (4.00–16.0) | 7 |",
    "- left out: other: gone",
    "- not measured: 9x9 (the time limit)",
    "| mnist | 64 | fp32 | jax | 3000000 (1500000–6000000) | 1000000 (500000–2000000) | 3.00 (1.50–6.00) | 7 |",
    "| mnist | 64 | fp32 | jax | 500 (250–1000) | 1500 (750–3000) | 3.00 (1.50–6.00) | 7 |",
    "| mnist | 256 | fp32 | – | 3000000 (1500000–6000000) | – | – | 7 |",
    "- not measured: mnist at batch 9 (the time limit)",
]

with tempfile.TemporaryDirectory() as made_up:
    fill(made_up)
    record, text = report(made_up)
    missing = [line for line in EXPECTED if line not in text]
    if missing:
        raise SystemExit("not in the report:\n" + "\n".join(missing) + "\n\n" + text)
    assert record["tests"]["failed"] == 1 and record["kernels"]["copy"]["n"] == 7

with tempfile.TemporaryDirectory() as empty:  # every part failed before it left anything
    record, text = report(empty)
    assert record["kernels"] is None and text.count("Not measured.") == 3 and "Not run." in text

bench = os.path.join(SOURCE, "bench")
scripts = [os.path.join(bench, name) for name in os.listdir(bench) if name.endswith(".py")]
scripts += [os.path.join(bench, "peers", name) for name in os.listdir(os.path.join(bench, "peers")) if name.endswith(".py")]
scripts += [os.path.join(bench, name) for name in ("compare", "compare-loss")]
with tempfile.TemporaryDirectory() as compiled:
    for script in scripts:
        py_compile.compile(script, cfile=os.path.join(compiled, "compiled"), doraise=True)
