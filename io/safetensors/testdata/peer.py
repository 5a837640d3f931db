"""safetensors of Python as the peer of package safetensors.

peer.py read FILE    prints the metadata and the type, shape and CRC-32 of each tensor as JSON
peer.py write FILE   writes one tensor for each type, elements as in peers_test.go
"""
import json
import sys
import zlib

import numpy as np
from safetensors import TensorSpec, safe_open, serialize_file
from safetensors.numpy import load_file


def read(path):
    with safe_open(path, "np") as f:
        meta = f.metadata()
    tensors = load_file(path)
    print(json.dumps({
        "metadata": meta,
        "tensors": {k: {"dtype": str(v.dtype), "shape": list(v.shape), "crc": zlib.crc32(v.tobytes())} for k, v in tensors.items()},
    }))


def write(path):
    v = np.arange(60).reshape(3, 4, 5) - 30
    types = ["float32", "float16", "float64", "int8", "int16", "int32", "int64"]
    tensors = {t: v.astype(t) for t in types} | {"uint8": (v + 30).astype("uint8")}
    tensors |= {"scalar": np.array(1.5, "float32"), "empty": np.zeros((0, 3), "float32")}
    specs = {k: TensorSpec(dtype=t.dtype.name, shape=t.shape, data_ptr=t.ctypes.data, data_len=t.nbytes) for k, t in tensors.items()}
    upper = (v.astype("float32").view("uint32") >> 16).astype("uint16")  # numpy has no bfloat16; these are exact in it
    specs["bfloat16"] = TensorSpec(dtype="bfloat16", shape=upper.shape, data_ptr=upper.ctypes.data, data_len=upper.nbytes)
    serialize_file(specs, path, metadata={"format": "np", "é": "ü"})


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2])
