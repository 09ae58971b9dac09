"""The C library and its ctypes structure."""
import ctypes
import pathlib
import re
import shutil
import subprocess

import pytest

import qmse
from qmse import _library

HEADER = pathlib.Path(qmse.__file__).parent / "include" / "qmse_loss.h"


def test_the_structure_has_the_sizes_and_offsets_of_the_header(tmp_path):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    names = [name for name, _ in _library.LossArgs._fields_]
    lines = "".join(f'  printf("%zu %zu\\n", offsetof(qmse_loss_args, {name}), sizeof(((qmse_loss_args*)0)->{name}));\n' for name in names)
    source = tmp_path / "offsets.c"
    source.write_text(f'#include <stdio.h>\n#include "{HEADER}"\nint main(void) {{\n{lines}  printf("%zu\\n", sizeof(qmse_loss_args));\n}}\n')
    subprocess.run([compiler, "-std=c99", "-pedantic", "-Werror", "-o", tmp_path / "offsets", source], check=True)
    *fields, size = subprocess.run([tmp_path / "offsets"], capture_output=True, text=True, check=True).stdout.splitlines()
    ours = [getattr(_library.LossArgs, name) for name in names]
    assert [f"{field.offset} {field.size}" for field in ours] == fields
    assert int(size) == ctypes.sizeof(_library.LossArgs)


def test_every_field_and_number_of_the_header_is_known():
    text = HEADER.read_text()
    struct = re.search(r"typedef struct qmse_loss_args \{(.*?)\} qmse_loss_args;", text, re.S)[1]
    fields = re.findall(r"(\w+);", re.sub(r"/\*.*?\*/", "", struct, flags=re.S))
    assert fields == [name for name, _ in _library.LossArgs._fields_]
    assert f"#define QMSE_ABI_VERSION {_library.ABI_VERSION}\n" in text
    for name in ("FLOAT32", "FLOAT64", "INT32", "INT64"):
        assert f"QMSE_{name} = {getattr(_library, name)}" in text
    from qmse import _options

    for prefix, choices in (("LOSS", _options.LOSSES), ("V", _options.DISTRIBUTIONS), ("V", _options.SCOPES), ("Q", _options.Q_GRADIENTS)):
        for number, choice in enumerate(choices):
            assert f"QMSE_{prefix}_{choice.upper()} = {number}" in text


def test_a_library_of_another_version_is_an_import_error_that_names_both(monkeypatch):
    monkeypatch.setattr(_library, "ABI_VERSION", 99)
    with pytest.raises(ImportError, match=r"needs version 99 .* has version 2"):
        _library._load()


def test_a_missing_library_is_an_import_error(monkeypatch, tmp_path):
    monkeypatch.setattr(_library, "__file__", str(tmp_path / "_library.py"))
    with pytest.raises(ImportError, match="cannot be loaded"):
        _library._load()
