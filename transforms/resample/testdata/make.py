"""Synthetic volumes resampled by nnU-Net v2's own functions.
pip install nnunetv2==2.8.1 batchgenerators==0.25.5 scikit-image==0.26.0 scipy==1.17.1; make.py OUT"""
import json, sys
import numpy as np, scipy.ndimage as nd
from nnunetv2.preprocessing.resampling.default_resampling import (
    compute_new_shape, determine_do_sep_z_and_axis, resample_data_or_seg_to_shape)

out, rng, manifest = sys.argv[1], np.random.default_rng(5), {}


def image(shape):
    a = nd.gaussian_filter(rng.standard_normal(shape), 1.0) * 4 + rng.standard_normal(shape) * 0.2
    return np.clip(a, -2.2, 1.9).astype(np.float32)  # clipped and z-scored, as preprocessing has it


def blobs(shape):
    n = nd.gaussian_filter(rng.standard_normal((6, *shape)), (0, 1.2, 2, 2))
    return n.argmax(0).astype(np.int16)


def put(name, a, old, new, is_seg, order):
    shape = compute_new_shape(a.shape, old, new)
    r = resample_data_or_seg_to_shape(a[None].copy(), shape, old, new, is_seg=is_seg, order=order, order_z=0, force_separate_z=None)[0]
    dtype = np.uint8 if is_seg else np.float32
    np.save(f"{out}/{name}_in.npy", a.astype(dtype)), np.save(f"{out}/{name}_out.npy", r.astype(dtype))
    axis = determine_do_sep_z_and_axis(None, old, new)[1]
    manifest[name] = dict(old=old, new=new, order=order, coarse=-1 if axis is None else int(axis))


put("image_up", image((7, 14, 17)), (2.0, 1.5, 1.5), (1.1, 1.0, 1.2), False, 3)
put("image_down", image((11, 23, 26)), (1.0, 1.0, 1.0), (1.7, 2.3, 2.0), False, 3)
put("image_mixed", image((6, 15, 12)), (2.0, 1.0, 0.8), (1.0, 1.0, 1.3), False, 3)
put("image_flat", image((1, 12, 13)), (2.0, 1.0, 1.0), (1.0, 0.7, 0.8), False, 3)
put("image_apart0", image((6, 13, 15)), (5.0, 1.0, 1.0), (2.2, 0.8, 1.2), False, 3)
put("image_apart0_down", image((14, 13, 15)), (2.0, 1.0, 1.0), (5.0, 0.8, 1.2), False, 3)
put("image_apart1", image((12, 6, 15)), (1.0, 5.0, 1.0), (0.8, 2.2, 0.7), False, 3)
put("image_apart2", image((12, 11, 6)), (1.0, 1.0, 5.0), (1.3, 0.8, 2.2), False, 3)
put("image_two_coarse", image((13, 6, 6)), (1.0, 5.0, 5.0), (0.8, 2.2, 2.2), False, 3)
put("labels_up", blobs((7, 18, 21)), (2.0, 1.5, 1.5), (1.1, 1.0, 1.2), True, 1)
put("labels_double", blobs((6, 14, 15)), (2.0, 2.0, 2.0), (1.0, 1.0, 1.0), True, 1)  # ties at every border
put("labels_down", blobs((12, 22, 26)), (1.0, 1.0, 1.0), (1.5, 2.0, 2.0), True, 1)
put("labels_apart0", blobs((7, 18, 21)), (5.0, 1.0, 1.0), (2.5, 0.5, 0.8), True, 1)
put("labels_apart1", blobs((18, 7, 21)), (1.0, 5.0, 1.0), (0.5, 2.5, 0.8), True, 1)
put("labels_apart2", blobs((14, 13, 8)), (1.0, 1.0, 4.0), (0.5, 0.8, 1.0), True, 1)
put("labels_nearest", blobs((7, 18, 21)), (2.0, 1.5, 1.5), (1.1, 1.0, 1.2), True, 0)
put("labels_nearest_apart", blobs((14, 18, 21)), (5.0, 1.0, 1.0), (2.5, 2.0, 3.0), True, 0)
json.dump(manifest, open(out + "/resample.json", "w"), indent=1)
