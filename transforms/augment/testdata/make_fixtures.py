"""Fixtures of transforms/augment: batchgeneratorsv2's own transforms with fixed parameters.

    python make_fixtures.py        (numpy, torch, batchgeneratorsv2 0.3.6; a second run gives the same bytes)

Writes fixtures.safetensors beside itself: one input case, and per transform its output. The parameters are in the
metadata. Axes are (z, y, x). "Dummy 2-D" augmentation is off: every transform sees three axes.
"""
import json
import os

import numpy as np
import torch
from safetensors.numpy import save_file

from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
from batchgeneratorsv2.transforms.intensity.contrast import BGContrast, ContrastTransform
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.remove_label import RemoveLabelTransform

torch.set_num_threads(1)
CASE, PATCH = (16, 24, 22), (12, 16, 18)
SPATIAL = {  # angles in radians about axes z, y, x; one scale
    'rotate': ([0.5, -0.3, 0.2], 1.0),
    'scale': ([0.0, 0.0, 0.0], 1.37),
    'shrink': ([0.0, 0.0, 0.0], 0.71),
    'both': ([-0.45, 0.35, -0.52], 1.2),
}


def phantom():
    rng = np.random.default_rng(7)
    z, y, x = np.meshgrid(*[np.arange(n) for n in CASE], indexing='ij')
    labels = np.zeros(CASE, np.int16)
    for label, centre, radius in ((1, (7, 10, 9), 7), (2, (8, 14, 15), 5), (5, (4, 6, 18), 4), (7, (15, 20, 3), 5), (3, (8, 13, 11), 2.6)):
        labels[(z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 < radius ** 2] = label
    image = np.sin(z * .7) + np.cos(y * .45 + x * .3) + .4 * labels + rng.normal(0, .3, CASE)
    return image.astype(np.float32), labels


def run(transform, image, labels=None, **params):
    data = {'image': torch.from_numpy(image.copy())[None]}
    if labels is not None:
        data['segmentation'] = torch.from_numpy(labels.copy())[None]
    return transform.apply(data, **params)


def spatial(image, labels, angles, scale, patch=PATCH):
    t = SpatialTransform(patch, patch_center_dist_from_border=0, random_crop=False, p_rotation=float(any(angles)),
                         rotation=lambda image, dim: angles[dim], p_scaling=float(scale != 1), scaling=(scale, scale),
                         p_synchronize_scaling_across_axes=1, border_mode_seg='constant', padding_value_seg=-1)
    data = {'image': torch.from_numpy(image.copy())[None], 'segmentation': torch.from_numpy(labels.copy())[None]}
    out = RemoveLabelTransform(-1, 0)(**t(**data))
    return out['image'][0].numpy(), out['segmentation'][0].numpy().astype(np.uint8)


def blur(image, sigmas):
    t = GaussianBlurTransform((0.5, 1.0), synchronize_channels=False, synchronize_axes=False, p_per_channel=0.5)
    return run(t, image, apply_to_channel=torch.tensor([True]), sigmas=[sigmas])['image'][0].numpy()


def brightness(image, factor):
    t = MultiplicativeBrightnessTransform((0.75, 1.25), False)
    return run(t, image, apply_to_channel=torch.tensor([0]), multipliers=torch.tensor([factor]))['image'][0].numpy()


def contrast(image, factor):
    t = ContrastTransform((0.75, 1.25), preserve_range=True, synchronize_channels=False)
    return run(t, image, apply_to_channel=torch.tensor([0]), multipliers=torch.tensor([factor]))['image'][0].numpy()


def low(image, scale):
    t = SimulateLowResolutionTransform((0.5, 1), False, True, None)
    return run(t, image, apply_to_channel=torch.tensor([0]), scales=torch.tensor([[scale] * 3]))['image'][0].numpy()


def gamma(image, value, invert):
    t = GammaTransform((0.7, 1.5), p_invert_image=0, synchronize_channels=False, p_per_channel=1, p_retain_stats=1)
    return run(t, image, apply_to_channel=torch.tensor([0]), retain_stats=torch.tensor([True]),
               invert_image=torch.tensor([invert]), gamma=torch.tensor([value]))['image'][0].numpy()


def mirror(image, labels, axes):
    out = run(MirrorTransform((0, 1, 2)), image, labels, axes=axes)
    return out['image'][0].numpy(), out['segmentation'][0].numpy().astype(np.uint8)


def factor_quantiles(lo, hi):
    np.random.seed(3)
    draw = BGContrast((lo, hi))
    return np.quantile([draw() for _ in range(200_000)], np.linspace(0, 1, 21)).astype(np.float32)


def main():
    image, labels = phantom()
    out = {'case.image': image, 'case.labels': labels.astype(np.uint8)}
    meta = {'patch': PATCH, 'spatial': SPATIAL}
    for name, (angles, scale) in SPATIAL.items():
        out[f'{name}.image'], out[f'{name}.labels'] = spatial(image, labels, angles, scale)
    corner = [(c - p) // 2 for c, p in zip(CASE, PATCH)]
    patch = np.ascontiguousarray(image[tuple(slice(c, c + p) for c, p in zip(corner, PATCH))])
    seg = np.ascontiguousarray(labels[tuple(slice(c, c + p) for c, p in zip(corner, PATCH))])
    meta['corner'] = corner
    meta['blur'] = [[.5, .93, 1.5], [.51, 1.0, .75]]
    for i, s in enumerate(meta['blur']):
        out[f'blur{i}'] = blur(patch, s)
    meta['brightness'] = [1.23, .71]
    for i, f in enumerate(meta['brightness']):
        out[f'brightness{i}'] = brightness(patch, f)
    meta['contrast'] = [1.4, .66]
    for i, f in enumerate(meta['contrast']):
        out[f'contrast{i}'] = contrast(patch, f)
    meta['low'] = [.5, .73, .96]
    for i, s in enumerate(meta['low']):
        out[f'low{i}'] = low(patch, s)
    meta['gamma'] = [[.72, False], [1.45, False], [1.3, True]]
    for i, (g, inv) in enumerate(meta['gamma']):
        out[f'gamma{i}'] = gamma(patch, g, inv)
    meta['mirror'] = [[0], [1], [2], [0, 2]]
    for i, axes in enumerate(meta['mirror']):
        out[f'mirror{i}.image'], out[f'mirror{i}.labels'] = mirror(patch, seg, axes)
    # everything at once, in nnU-Net's order: pins the order
    im, lb = spatial(image, labels, *SPATIAL['both'])
    im = gamma(low(contrast(brightness(blur(im, meta['blur'][0]), 1.23), 1.4), .73), .72, False)
    out['chain.image'], out['chain.labels'] = mirror(im, lb, [0, 2])
    meta['factors'] = [[.75, 1.25], [.7, 1.5], [.65, 1.5]]
    for i, (lo, hi) in enumerate(meta['factors']):
        out[f'factors{i}'] = factor_quantiles(lo, hi)
    # salt and pepper sampled half-way between voxels: exact and near ties between labels
    noise = np.random.default_rng(5).integers(0, 3, (16, 16, 16)).astype(np.int16)
    out['tie.case'], meta['tie'] = noise.astype(np.uint8), [2.0, 2.00002]
    for i, s in enumerate(meta['tie']):
        _, out[f'tie{i}'] = spatial(noise.astype(np.float32), noise, [0, 0, 0], s, (12, 12, 12))
    out = {k: np.ascontiguousarray(v) for k, v in out.items()}
    save_file(out, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'fixtures.safetensors'), {'parameters': json.dumps(meta)})


if __name__ == '__main__':
    main()
