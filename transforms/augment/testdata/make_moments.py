"""Moments of what batchgeneratorsv2 draws, for the tables of transforms/augment.

    python make_moments.py > moments.json        (numpy, torch, batchgeneratorsv2 0.3.6)

For each table and transform: how often it is applied, and of its parameter where it is the mean, the standard
deviation, the third standardised moment and the parts in ten bins of equal width between the table's bounds. The
transforms are set up as nnU-Net v2's trainer does (nnUNetTrainer.get_training_transforms), with the table's numbers.
"""
import json

import numpy as np
import torch

from batchgeneratorsv2.helpers.scalar_type import sample_scalar
from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
from batchgeneratorsv2.transforms.intensity.contrast import BGContrast, ContrastTransform
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.random import RandomTransform

N = 20000
IMAGE = {'image': torch.zeros((1, 4, 4, 4))}
TABLES = {
    'teacher': dict(noise=0.1, blur=(0.5, 1.0), brightness=(0.75, 1.25), contrast=(0.75, 1.25), gamma=[(0.1, (0.7, 1.5), 0)]),
    'student': dict(noise=0.15, blur=(0.5, 1.5), brightness=(0.7, 1.3), contrast=(0.65, 1.5), gamma=[(0.15, (0.7, 1.5), 0)]),
    'nnunet': dict(noise=0.1, blur=(0.5, 1.0), brightness=(0.75, 1.25), contrast=(0.75, 1.25), gamma=[(0.1, (0.7, 1.5), 1), (0.3, (0.7, 1.5), 0)]),
}


def flat(v):
    """the numbers in a parameter, whatever holds them"""
    if v is None:
        return []
    if isinstance(v, torch.Tensor):
        return v.double().flatten().tolist()
    if isinstance(v, (list, tuple, np.ndarray)):
        return [x for w in v for x in flat(w)]
    return [float(v)]


def row(values, bounds):
    v = np.array([x for w in values for x in w])
    lo, hi = bounds
    sd = v.std()
    return dict(applied=sum(len(w) > 0 for w in values) / len(values), n=len(v), mean=v.mean(), sd=sd, skew=((v - v.mean()) ** 3).mean() / sd ** 3,
                least=v.min(), greatest=v.max(), bins=(np.histogram(v, 10, (lo, hi))[0] / len(v)).tolist())


def draws(transform, p, key, bounds, values=None):
    """of a transform in a RandomTransform, of which the first values are different ones; per-channel transforms apply to no channel at times"""
    out = []
    for _ in range(N):
        if torch.rand(1).item() < RandomTransform(transform, apply_probability=p).apply_probability:
            out.append(flat(transform.get_parameters(**IMAGE)[key])[:values])
        else:
            out.append([])
    return row(out, bounds)


def spatial():
    t = SpatialTransform((4, 4, 4), patch_center_dist_from_border=0, random_crop=False, p_elastic_deform=0, p_rotation=0.2,
                         rotation=(-30 / 360 * 2 * np.pi, 30 / 360 * 2 * np.pi), p_scaling=0.2, scaling=(0.7, 1.4), p_synchronize_scaling_across_axes=1,
                         bg_style_seg_sampling=False)
    scales, turns = [], []
    for _ in range(N):
        a = t.get_parameters(**IMAGE)['affine']
        a = np.eye(3) if a is None else np.asarray(a, float)[:3, :3]
        s = np.linalg.det(a) ** (1 / 3)
        angle = np.degrees(np.arccos(np.clip((np.trace(a / s) - 1) / 2, -1, 1)))  # about one axis, whichever
        scales.append([s] if abs(s - 1) > 1e-9 else [])
        turns.append([angle] if angle > 1e-4 else [])
    return row(scales, (0.7, 1.4)), row(turns, (0, 60))


def table(c):
    rows = {}
    rows['scale'], rows['turn'] = spatial()
    rows['noise'] = draws(GaussianNoiseTransform(noise_variance=(0, 0.1), p_per_channel=1, synchronize_channels=True), c['noise'], 'sigmas', (0, 0.1))
    rows['blur'] = draws(GaussianBlurTransform(blur_sigma=c['blur'], synchronize_channels=False, synchronize_axes=False, p_per_channel=0.5, benchmark=False), 0.2, 'sigmas', c['blur'])
    rows['brightness'] = draws(MultiplicativeBrightnessTransform(multiplier_range=BGContrast(c['brightness']), synchronize_channels=False, p_per_channel=1), 0.15, 'multipliers', c['brightness'])
    rows['contrast'] = draws(ContrastTransform(contrast_range=BGContrast(c['contrast']), preserve_range=True, synchronize_channels=False, p_per_channel=1), 0.15, 'multipliers', c['contrast'])
    rows['low resolution'] = draws(SimulateLowResolutionTransform(scale=(0.5, 1), synchronize_channels=False, synchronize_axes=True, ignore_axes=None, allowed_channels=None, p_per_channel=0.5), 0.25, 'scales', (0.5, 1), 1)
    for i, (p, bounds, invert) in enumerate(c['gamma']):
        rows[f'gamma {i}'] = draws(GammaTransform(gamma=BGContrast(bounds), p_invert_image=invert, synchronize_channels=False, p_per_channel=1, p_retain_stats=1), p, 'gamma', bounds)
    mirror = MirrorTransform(allowed_axes=(0, 1, 2))
    axes = [mirror.get_parameters(**IMAGE)['axes'] for _ in range(N)]
    rows['flips'] = dict(applied=0, bins=[sum(a in x for x in axes) / N for a in range(3)])
    return rows


def rounded(v):
    if isinstance(v, float):
        return round(v, 5)
    if isinstance(v, list):
        return [rounded(x) for x in v]
    return {k: rounded(x) for k, x in v.items()} if isinstance(v, dict) else v


torch.manual_seed(1)
np.random.seed(1)
tables = [f' "{name}": {{\n' + ',\n'.join(f'  {json.dumps(k)}: {json.dumps(rounded(r))}' for k, r in table(c).items()) + '\n }' for name, c in TABLES.items()]
print(f'{{"n": {N}, "tables": {{\n' + ',\n'.join(tables) + '\n}}')
