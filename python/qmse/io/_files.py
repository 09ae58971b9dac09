"""JSON and safetensors files, with errors that name the file."""
import json

import safetensors


def read_json(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except ValueError as error:
        raise ValueError(f"'{path}' is no JSON file: {error}") from None


def read_json_lines(path):
    """The objects of a file with one a line; a last line without its end, which is still being written, is left out."""
    with open(path, "rb") as file:
        lines = file.read().split(b"\n")[:-1]
    records = []
    for number, line in enumerate(lines, 1):
        try:
            records.append(json.loads(line))
        except ValueError as error:
            raise ValueError(f"'{path}', line {number}, is no JSON: {error}") from None
    return records


def read_safetensors(path):
    """{name: array of NumPy} and the metadata."""
    try:
        with safetensors.safe_open(path, framework="np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    except safetensors.SafetensorError as error:
        raise ValueError(f"'{path}' is no safetensors file: {error}") from None


def metadata_json(path, metadata, key):
    if key not in metadata:
        raise ValueError(f"'{path}': its metadata has no '{key}', so qmse has not written it")
    return json.loads(metadata[key])
