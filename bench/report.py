"""From what the parts of scripts/gpu-check left in a folder to one JSON file and a readable report.

Every figure is the median of n, with the smallest and the largest; a part that left nothing is said to be missing.
"""
import argparse
import datetime
import json
import os
import re
import statistics


def read(folder, name):
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        return None
    with open(path) as file:
        return file.read()


def read_json(folder, name):
    text = read(folder, name)
    return None if text is None else json.loads(text)


def clocks(text):
    """Of the samples that nvidia-smi took during the benchmarks."""
    rows = [line.split(", ") for line in (text or "").splitlines()]
    rows = [row for row in rows if len(row) == 4 and all(re.fullmatch(r"[\d.]+", value.strip()) for value in row)]
    if not rows:
        return None
    names = ("sm_mhz", "memory_mhz", "power_w", "temperature_c")
    columns = [[float(value) for value in column] for column in zip(*rows)]
    return {
        name: {"median": statistics.median(values), "min": min(values), "max": max(values), "n": len(values)}
        for name, values in zip(names, columns)
    }


def training(folder):
    lines = read(os.path.join(folder, "train-graph"), "metrics.jsonl")
    if not lines:
        return None
    plain = read(os.path.join(folder, "train-no-graph"), "metrics.jsonl") or ""
    return {
        "data": (read(folder, "train-data.txt") or "unknown").strip(),
        "epochs": [json.loads(line) for line in lines.splitlines()],
        "epochs_no_graph": [json.loads(line) for line in plain.splitlines()],
    }


def tests(text):
    # CTest 4 leaves out a count of none.
    match = re.search(r"\d+% tests passed(?:, (\d+) tests? failed)? out of (\d+)", text or "")
    if not match:
        return None
    return {
        "total": int(match.group(2)),
        "failed": int(match.group(1) or 0),
        "skipped": re.findall(r"^\s*\d+ - (.*) \(Skipped\)$", text, re.MULTILINE),
    }


def collect(folder):
    parts = [line.split() for line in (read(folder, "parts.txt") or "").splitlines()]
    tools = ("memcheck", "racecheck", "initcheck", "synccheck")
    return {
        "date": datetime.date.today().isoformat(),
        "machine": read_json(folder, "machine.json"),
        "clocks_while_measuring": clocks(read(folder, "clocks.csv")),
        "parts": [{"name": name, "outcome": outcome, "seconds": int(seconds)} for name, outcome, seconds in parts],
        "tests": tests(read(folder, "test.log")),
        "sanitizer": [(read(folder, f"sanitize-{tool}.txt") or f"{tool}: not run").strip() for tool in tools],
        "training": training(folder),
        "kernels": read_json(folder, "kernels.json"),
        "loss": read_json(folder, "loss.json"),
        "step": read_json(folder, "step.json"),
        "timelines": [read_json(folder, name) for name in sorted(os.listdir(folder)) if re.fullmatch(r"timeline-.*\.json", name)],
    }


def table(header, rows, left=1):
    """Columns from `left` on are numbers."""
    lines = ["| " + " | ".join(header) + " |"]
    lines.append("|" + "|".join(" --- " if i < left else " ---: " for i in range(len(header))) + "|")
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def spread(value, scale=1.0, digits=3):
    """median (min–max)"""
    median, low, high = (number(value[key] * scale, digits) for key in ("median", "min", "max"))
    return f"{median} ({low}–{high})"


def number(value, digits=3):
    """Significant digits, without an exponent."""
    if value == 0:
        return "0"
    whole = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    return f"{value:.{max(0, digits - whole)}f}"


def machine_lines(record):
    machine = record["machine"]
    if machine is None:
        return ["The machine was not recorded: the part `bench` did not run."]
    lines = [f"Git revision {machine['revision']}, nvcc {machine['nvcc']}.", ""]
    lines += table(("nvidia-smi, before the benchmarks", "value"), list(machine["gpu"].items()), left=2)
    if record["clocks_while_measuring"]:
        rows = [(name, spread(value), str(value["n"])) for name, value in record["clocks_while_measuring"].items()]
        lines += [""] + table(("while they ran", "median (min–max)", "samples"), rows)
    return lines + ["", "`qmse info`:", "", "```"] + machine["info"] + ["```"]


def part_lines(record):
    lines = table(("part", "outcome", "seconds"), [(p["name"], p["outcome"], str(p["seconds"])) for p in record["parts"]], 2)
    if record["tests"]:
        result = record["tests"]
        lines += ["", f"GPU tests: {result['total']}, failed {result['failed']}, skipped {len(result['skipped'])}"
                      + "".join(f"\n- skipped: {name}" for name in result["skipped"])]
    return lines + ["", "compute-sanitizer over the kernel tests:", ""] + [f"- {line}" for line in record["sanitizer"]]


def training_lines(record):
    result = record["training"]
    if result is None:
        return ["Not run."]
    lines = [f"Data: {result['data']}. QMSE, the options' defaults, seed 1.", ""]
    rows = []
    for name, epochs in (("CUDA graphs", result["epochs"]), ("`--no-graph`", result["epochs_no_graph"])):
        for epoch in epochs:
            rows.append((name, str(epoch["epoch"]), number(100 * epoch["test_accuracy"], 4),
                         number(epoch["images_per_second"], 3)))
    return lines + table(("step", "epoch", "test accuracy, %", "images/s"), rows)


def kernel_lines(record):
    result = record["kernels"]
    if result is None:
        return ["Not measured."]
    copy = result["copy"]
    lines = [
        f"A device-to-device copy of {number(copy['bytes'] / 2 / 2**30)} GiB moves {number(copy['bytes_per_second'] / 1e9, 4)} GB/s "
        f"(read and written; median of {copy['n']}), {number(copy['bytes_per_second_after'] / 1e9, 4)} GB/s when measured again at "
        f"the end. L2 cache {number(result['l2_bytes'] / 2**20)} MiB. Bytes are what an operation must read and write at least, by "
        "the formula given. `cold`: each launch with its data out of the L2 cache; `warm`: a CUDA graph of "
        f"{result['graph_launches']} launches, divided; their data may stay in the cache, so shares over 100 % are possible, and "
        "the smallest are the time of a launch.",
        "",
    ]
    rows = [
        (case["operation"], case["shape"], case["bytes_formula"], case["l2"],
         spread({key: case[f"{key}_s"] for key in ("median", "min", "max")}, 1e6), str(case["n"]),
         number(case["bytes_per_second"] / 1e9), number(100 * case["share_of_copy"]))
        for case in result["cases"]
    ]
    return lines + table(("operation", "shape", "bytes", "L2", "µs: median (min–max)", "n", "GB/s", "% of the copy"), rows, 4)


def timeline_lines(record):
    if not record["timelines"]:
        return ["Not recorded."]
    by_events = any(step.get("by") == "events" for step in record["timelines"])
    lines = ["By events between the nodes of the graph (there was no CUPTI), the medians of the steps recorded; an event's own time is in "
             "the piece before it." if by_events else
             "By CUPTI, the medians of the steps recorded; `before` is how long the GPU did nothing before the kernel began (recording "
             "adds to it)."]
    for step in record["timelines"]:
        lines += ["", f"{step['shape']}, batch {step['batch']}, {step['loss']}, {step['math']}: {len(step['kernels'])} kernels, "
                      f"{number(step['busy_seconds'] * 1e6)} µs in all, over {step['steps']} steps.", ""]
        rows = [
            (f"`{short_name(kernel['name'])}`", "×".join(map(str, kernel["grid"])), "×".join(map(str, kernel["block"])),
             str(kernel["registers"]), number(kernel["wait_seconds"] * 1e6) if "wait_seconds" in kernel else "?",
             f"{number(kernel['seconds'] * 1e6)} ({number(kernel['min_seconds'] * 1e6)}–{number(kernel['max_seconds'] * 1e6)})")
            for kernel in step["kernels"]
        ]
        lines += table(("kernel", "grid", "block", "registers", "before, µs", "µs: median (min–max)"), rows, 3)
    return lines


def short_name(name):
    """Without what it returns and takes; long template arguments cut."""
    name = re.sub(r"^void ", "", name)
    name = name.replace("(anonymous namespace)", "anonymous")
    name = re.sub(r"\([\w:]+\)(?=\w)", "", name)  # (Activation)1 and the like among template arguments
    name = re.sub(r"\(.*$", "", name) or name
    return name if len(name) <= 90 else name[:87] + "..."


def footnotes(result):
    """What was left out, and why."""
    reasons = {why for case in result["results"] for why in case["skipped"].values()}
    lines = [f"- left out: {why}" for why in sorted(reasons)]
    for entry in result["not_measured"]:
        what = entry.get("case") or f"{entry['shape']} at batch {entry['batch']}"
        lines.append(f"- not measured: {what} ({entry['why']})")
    return [""] + lines if lines else []


def versions(result):
    return "; ".join(sorted(set(result["versions"].values()))) or "no peer ran"


def loss_lines(record):
    result = record["loss"]
    if result is None:
        return ["Not measured."]
    lines = [f"`{result['command']}`; {versions(result)}. Value and gradient, calls one after another; the ratio says how many "
             "times as fast ours is.", ""]
    rows = []
    for case in result["results"]:
        start = (f"{case['batch']} × {case['classes']}", f"{case['targets']}, {case['distribution']}")
        ours = case["seconds_per_call"]["qmse"]
        for name, ratio in case["ratio"].items() or [("–", None)]:
            theirs = spread(case["seconds_per_call"][name], 1e6) if ratio else "–"
            rows.append((*start, name, spread(ours, 1e6), theirs, spread(ratio) if ratio else "–", str(ours["n"])))
    return lines + table(("shape", "case", "against", "qmse, µs", "its, µs", "ratio", "n"), rows, 3) + footnotes(result)


def step_lines(record):
    result = record["step"]
    if result is None:
        return ["Not measured."]
    lines = [f"`{result['command']}`; {versions(result)}. The ratio says how many times as fast ours is.", ""]
    rows, epochs = [], []
    for case in result["results"]:
        start = (case["shape"], str(case["batch"]), case["math"])
        ours = case["images_per_second"]["qmse"]
        for name, ratio in case["ratio"].items() or [("–", None)]:
            theirs = spread(case["images_per_second"][name], digits=4) if ratio else "–"
            rows.append((*start, name, spread(ours, digits=4), theirs, spread(ratio) if ratio else "–", str(ours["n"])))
        for name, ratio in case.get("epoch_ratio", {}).items():
            ours_epoch = case["epoch_seconds"]["qmse"]
            epochs.append((*start, name, spread(ours_epoch, 1e3), spread(case["epoch_seconds"][name], 1e3), spread(ratio),
                           str(ours_epoch["n"])))
    lines += table(("shape", "batch", "math", "against", "qmse, images/s", "its, images/s", "ratio", "n"), rows, 4)
    if epochs:
        lines += ["", "Whole epochs, from the upload of the order to the reading of the loss:", ""]
        lines += table(("shape", "batch", "math", "against", "qmse, ms", "its, ms", "ratio", "n"), epochs, 4)
    return lines + footnotes(result)


def markdown(record):
    name = ((record["machine"] or {}).get("gpu") or {}).get("name", "an NVIDIA GPU")
    sections = [
        (f"# qmse on {name}", [f"Written by `scripts/gpu-check` on {record['date']}; `docs/benchmarks.md` says how the figures "
                               "are made. Figures are medians, with the smallest and the largest of n."]),
        ("## Machine", machine_lines(record)),
        ("## Parts", part_lines(record)),
        ("## Training", training_lines(record)),
        ("## Kernels", kernel_lines(record)),
        ("## One captured step, kernel by kernel", timeline_lines(record)),
        ("## The QMSE loss against PyTorch", loss_lines(record)),
        ("## The training step against PyTorch and JAX", step_lines(record)),
    ]
    return "\n\n".join(title + "\n\n" + "\n".join(lines) for title, lines in sections) + "\n"


def write(path, text):
    with open(path + ".tmp", "w") as file:
        file.write(text)
    os.replace(path + ".tmp", path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", required=True, help="the folder that the parts left their files in")
    parser.add_argument("--json", required=True)
    parser.add_argument("--markdown", required=True)
    arguments = parser.parse_args()
    record = collect(arguments.work)
    write(arguments.json, json.dumps(record, indent=1) + "\n")
    write(arguments.markdown, markdown(record))
    print(f"wrote {arguments.json} and {arguments.markdown}")


if __name__ == "__main__":
    main()
