"""zarr-python as the peer of package zarr: reads what Go wrote, or writes what Go then reads.

peer.py read FOLDER NAME...   prints one JSON object a line for each array: its metadata as zarr-python sees it, and the sum and
                              CRC-32 of its little-endian bytes
peer.py write FOLDER          writes one array for each configuration, elements as in wave() of peers_test.go, and prints their names
"""
import json
import sys
import zlib

import numpy as np
import zarr
from zarr.codecs import BytesCodec, Crc32cCodec, GzipCodec, ShardingCodec, ZstdCodec


def read(folder, names):
    group = zarr.open_group(folder, mode="r")
    assert dict(group.attrs) == {"case": "é"}, dict(group.attrs)
    for name in names:
        a = group[name]
        data = np.ascontiguousarray(a[...])
        print(json.dumps({
            "name": name, "shape": list(a.shape), "dtype": str(a.dtype), "chunk": list(a.chunks), "shard": list(a.shards),
            "names": a.metadata.dimension_names and list(a.metadata.dimension_names),
            "attributes": dict(a.attrs), "crc": zlib.crc32(data.tobytes()), "fill": float(a.fill_value),
        }))


def wave(shape, dtype):
    i = np.arange(int(np.prod(shape)), dtype=np.int64)
    v = i * 7919 % 251 - 100
    v[: len(i) // 4] = 0
    return v.astype(dtype).reshape(shape)


def write(folder):
    little, big = BytesCodec(endian="little"), BytesCodec(endian="big")
    index = [BytesCodec(endian="little"), Crc32cCodec()]
    shape = (9, 10, 11)

    def sharding(codecs, **more):
        return ShardingCodec(chunk_shape=(2, 5, 3), codecs=codecs, index_codecs=index, **more)

    cases = {"default": {}, "one-chunk": {"chunks": shape}, "plain": {"compressors": None}}
    for level in (0, 3, 19):
        cases[f"zstd-{level}"] = {"compressors": ZstdCodec(level=level, checksum=level == 3)}
    cases["gzip"] = {"compressors": GzipCodec(level=6)}
    cases["zstd-crc32c"] = {"compressors": [ZstdCodec(), Crc32cCodec()]}
    cases["big"] = {"serializer": big}
    cases["dots"] = {"chunk_key_encoding": {"name": "default", "separator": "."}}
    cases["v2-keys"] = {"chunk_key_encoding": {"name": "v2", "separator": "."}}
    cases["fill"] = {"fill_value": 7}
    cases["shards"] = {"shards": (4, 10, 6)}
    cases["names"] = {"dimension_names": ["z", "y", None]}
    cases["shards-fill"] = {"shards": (4, 10, 6), "fill_value": 7}
    cases["shards-start"] = {"chunks": (4, 10, 6), "serializer": sharding([little, ZstdCodec()], index_location="start"), "compressors": None}
    cases["shards-gzip"] = {"chunks": (4, 10, 6), "serializer": sharding([little, GzipCodec()]), "compressors": None}
    cases["shards-big"] = {"chunks": (4, 10, 6), "serializer": sharding([big, ZstdCodec(checksum=True)]), "compressors": None}
    cases["shards-plain"] = {"chunks": (4, 10, 6), "serializer": sharding([little]), "compressors": None}
    group = zarr.create_group(folder, attributes={"case": "é"})
    for name, options in cases.items():
        every = ("float32", "int16", "uint8", "int32", "int64")
        for dtype in every if name in ("default", "shards") else ("int16",):
            a = group.create_array(f"{name}-{dtype}", shape=shape, dtype=dtype, **({"chunks": (2, 5, 3)} | options))
            a[...] = wave(shape, dtype)
            a.attrs["dtype"] = dtype
            print(a.basename)
    group.create_array("scalar", shape=(), dtype="float32")[...] = 0.0
    for value in ("nan", "inf", "-inf", "-0.0", "0.1"):
        group.create_array(f"fill {value}", shape=(3,), chunks=(2,), dtype="float32", fill_value=float(value))
    zarr.consolidate_metadata(folder)


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2], *([sys.argv[3:]] if sys.argv[3:] else []))
