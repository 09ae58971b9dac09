"""What the peers share: the safetensors files that qmse's programs export, and the protocol of bench/protocol.h."""
import json
import resource
import struct
import sys

import numpy

LEARNING_RATE = 0.01
MOMENTUM = 0.9
TYPES = {"F32": numpy.float32, "U8": numpy.uint8, "I32": numpy.int32}


def read_safetensors(path):
    """{name: numpy array}; the peers bring no safetensors package."""
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        values = numpy.frombuffer(data[8 + length + begin : 8 + length + end], TYPES[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"]).copy()
    return tensors


def unavailable(reason):
    print(f"unavailable: {' '.join(str(reason).split())}", flush=True)
    sys.exit(0)


def require_torch_can(torch, device_type, form):
    """`form` is "eager", or one that torch.compile makes."""
    if device_type == "cuda" and not torch.cuda.is_available():
        unavailable(f"PyTorch {torch.__version__} sees no GPU")
    if form != "eager" and not hasattr(torch, "compile"):
        unavailable(f"PyTorch {torch.__version__} has no torch.compile")


def wait_for_turn():
    """Until the driver asks for more than the imports: compilers of the peers time kernels and want the machine to themselves."""
    print("started", flush=True)
    sys.stdin.readline()


def serve(answer):
    print("ready", flush=True)
    for line in sys.stdin:
        result = answer(line.strip())
        result["peak_rss_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps(result), flush=True)
