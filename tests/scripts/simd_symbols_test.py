#!/usr/bin/env python3
"""That what is compiled for AVX-512 defines nothing a linker could put in the place of code for every processor.

    simd_symbols_test.py NM OBJECT...

An inline function that is no part of the instruction set's namespace (kernels/cpu/dispatch.h) and stays a call has one body in
each object, of which the linker keeps any: AVX-512 then runs on processors that lack it.
"""
import subprocess
import sys

WEAK_OR_GLOBAL = set("TWVBDRu")
NOBODYS = ("DW.ref.", "__odr_asan.")  # of exceptions and of the sanitizer, each data


def strangers(nm, objects):
    for name in objects:
        listing = subprocess.run([nm, "-C", "--defined-only", name], check=True, capture_output=True, text=True).stdout
        for line in listing.splitlines():
            _, kind, symbol = line.split(" ", 2)
            if kind in WEAK_OR_GLOBAL and "qmse::avx512::" not in symbol and not symbol.startswith(NOBODYS):
                yield f"{name}: {symbol}"


def main():
    nm, objects = sys.argv[1], [name for argument in sys.argv[2:] for name in argument.split(";") if name]
    if not objects:
        sys.exit("no object is compiled for AVX-512")
    found = list(strangers(nm, objects))
    if found:
        sys.exit("defined in an object for AVX-512, outside its namespace:\n" + "\n".join(found))


if __name__ == "__main__":
    main()
