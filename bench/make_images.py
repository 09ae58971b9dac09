"""Makes up a data set in MNIST's files and sizes, for machines that have none: noise, dimmed outside the bars of the class.

    bench/make_images.py FOLDER
"""
import os
import random
import struct
import sys

SIZE = 28
COUNTS = {"train": 60000, "t10k": 10000}


def mask(label):
    """Two rows and two columns of full brightness, the rest an eighth of it."""
    rows = {(2 + 2 * label + i) % SIZE for i in range(2)}
    columns = {(25 - 2 * label - i) % SIZE for i in range(2)}
    pixels = bytes(0xFF if y in rows or x in columns else 0x1F for y in range(SIZE) for x in range(SIZE))
    return int.from_bytes(pixels, "big")


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__.strip())
    folder = sys.argv[1]
    os.makedirs(folder + ".tmp", exist_ok=True)
    random.seed(1)
    masks = [mask(label) for label in range(10)]
    for split, count in COUNTS.items():
        labels = bytes(i % 10 for i in range(count))
        with open(os.path.join(folder + ".tmp", f"{split}-labels-idx1-ubyte"), "wb") as file:
            file.write(struct.pack(">II", 0x801, count) + labels)
        with open(os.path.join(folder + ".tmp", f"{split}-images-idx3-ubyte"), "wb") as file:
            file.write(struct.pack(">IIII", 0x803, count, SIZE, SIZE))
            for label in labels:
                image = random.getrandbits(8 * SIZE * SIZE) & masks[label]
                file.write(image.to_bytes(SIZE * SIZE, "big"))
    os.rename(folder + ".tmp", folder)


if __name__ == "__main__":
    main()
