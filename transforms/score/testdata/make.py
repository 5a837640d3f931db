"""Synthetic label pairs with the scores of surface-distance 0.1 (pip install surface-distance==0.1 scipy numpy).
make.py OUT"""
import json, sys
import numpy as np, scipy.ndimage as nd
np.Inf, np.NaN = np.inf, np.nan  # surface-distance 0.1 predates NumPy 2
nd.filters = nd.morphology = nd
import surface_distance as sd
from surface_distance.lookup_tables import create_table_neighbour_code_to_surface_area

NAMES = ["liver", "right kidney", "spleen", "pancreas", "aorta", "inferior vena cava", "right adrenal gland",
         "left adrenal gland", "gallbladder", "esophagus", "stomach", "duodenum", "left kidney"]
TOL = [5, 3, 3, 5, 2, 2, 2, 2, 2, 3, 5, 7, 3]
SHAPE = (70, 45, 24)  # x, y, z: the file's order, which FLARE's script works in
rng = np.random.default_rng(3)
grid = np.indices(SHAPE)


def blobs(seed):
    r = np.random.default_rng(seed)
    out = np.zeros(SHAPE, np.uint8)
    for label in range(1, 14):
        if label in (8, 12):
            continue
        centre = r.uniform((6, 6, 3), (64, 39, 20))
        radius = r.uniform((4, 3, 2), (16, 9, 7))
        noise = nd.gaussian_filter(r.standard_normal(SHAPE), 1.2)
        d = sum(((g - c) / q) ** 2 for g, c, q in zip(grid, centre, radius))
        out[d + 1.5 * noise < 1] = label
    return out


ref = blobs(1)
pred = np.roll(ref, (1, 0, 0), (0, 1, 2))
pred[(pred == 1) & ~nd.binary_erosion(pred == 1)] = 0
pred[nd.binary_dilation(pred == 13, iterations=2) & (pred == 0)] = 13
pred[rng.random(SHAPE) < 0.01] = 3              # scattered voxels: every kind of neighbourhood
pred[40:44, 20:24, 5:9] = 8                     # a false positive of an absent organ
pred[:, :, 14:][pred[:, :, 14:] == 5] = 0       # the aorta cut short
pred[pred == 9] = 0                             # missed
ref[10:13, 10:13, 0] = 10; ref[ref == 10] = 0; ref[20:25, 20:26, 7] = 10  # esophagus in one slice
pred[pred == 10] = 0; pred[21:25, 21:26, 6:9] = 10
ref[:, :, 23][ref[:, :, 23] == 0] = 6           # a tubular organ that touches the border of the volume


def score(i, spacing, ref, pred, slices=True):
    a, b, tol = ref == i, pred == i, TOL[i - 1]
    if not a.any():
        return [1.0, 1.0] if not b.any() else [0.0, 0.0]
    if slices and i in (5, 6, 10):
        z = np.where(a)[2]
        lo, hi = z.min(), max(z.max(), z.min() + 1)  # the script's range, but for one slice
        a, b = a[:, :, lo:hi], b[:, :, lo:hi]
    s = sd.compute_surface_distances(a, b, spacing)
    return [float(sd.compute_dice_coefficient(a, b)), float(sd.compute_surface_dice_at_tolerance(s, tol))]


out = sys.argv[1]
np.save(out + "/reference.npy", np.ascontiguousarray(ref.transpose(2, 1, 0)))  # z, y, x
np.save(out + "/prediction.npy", np.ascontiguousarray(pred.transpose(2, 1, 0)))
ignored = (np.indices(SHAPE)[2] >= 18)
spacings = [(3.0, 3.0, 3.0), (0.8, 0.9, 2.5), (1.0, 1.0, 1.0), (2.5, 0.7, 0.75)]
json.dump({
    "names": NAMES, "tolerance_mm": TOL,
    "scores": [{"spacing_xyz": s,
                "flare22": [score(i, s, ref, pred) for i in range(1, 14)],
                "whole": [score(i, s, ref, pred, False) for i in range(1, 14)],
                "ignored_z18": [score(i, s, np.where(ignored, 0, ref), np.where(ignored, 0, pred), False) for i in range(1, 14)]}
               for s in spacings],
    "areas": [{"spacing_xyz": s, "by_code": create_table_neighbour_code_to_surface_area(s).tolist()} for s in spacings],
}, open(out + "/scores.json", "w"))
