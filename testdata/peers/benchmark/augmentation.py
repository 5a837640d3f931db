"""batchgeneratorsv2's transforms, as nnU-Net's trainer sets them up, with the parameters that our side drew."""
import json
import math
import os

import numpy as np
import torch
from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
from batchgeneratorsv2.transforms.intensity.contrast import ContrastTransform
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.remove_label import RemoveLabelTransform

MARGIN, CLASSES = 40, 14


def case(patch):
    """The case of ours/augment.go."""
    shape = [p + 2 * MARGIN for p in patch]
    image = (np.arange(math.prod(shape)) % 97 / 48 - 1).astype(np.float32).reshape(shape)
    z, y, x = np.meshgrid(*[np.arange(n) for n in shape], indexing='ij')
    block = z // 20 * 64 + y // 32 * 8 + x // 32
    labels = np.where(block % 3 == 0, block // 3 % CLASSES, 0).astype(np.int16)
    return torch.from_numpy(image)[None], torch.from_numpy(labels)[None]


def spatial(patch, p):
    angles, scale = p.get('angles_rad'), p.get('scale')
    return SpatialTransform(patch, patch_center_dist_from_border=0, random_crop=False, p_elastic_deform=0, p_rotation=float(angles is not None),
                            rotation=lambda image, dim: angles[dim], p_scaling=float(scale is not None), scaling=(scale, scale),
                            p_synchronize_scaling_across_axes=1, bg_style_seg_sampling=False)


def intensities(p):
    """The transforms of the image that p asks for, in nnU-Net's order, each with its parameters."""
    one, chosen = torch.tensor([0]), []
    if 'noise_sd' in p:
        noise = GaussianNoiseTransform((p['noise_sd'], p['noise_sd']), 1, True)
        chosen.append((noise, None))
    if 'blur_sigma_voxels' in p:
        chosen.append((GaussianBlurTransform((0.5, 1.5), False, False, 0.5), dict(apply_to_channel=torch.tensor([True]), sigmas=[p['blur_sigma_voxels']])))
    if 'brightness' in p:
        chosen.append((MultiplicativeBrightnessTransform((0.7, 1.3), False), dict(apply_to_channel=one, multipliers=torch.tensor([p['brightness']]))))
    if 'contrast' in p:
        chosen.append((ContrastTransform((0.65, 1.5), True, False), dict(apply_to_channel=one, multipliers=torch.tensor([p['contrast']]))))
    if 'low_resolution' in p:
        chosen.append((SimulateLowResolutionTransform((0.5, 1), False, True, None), dict(apply_to_channel=one, scales=torch.tensor([[p['low_resolution']] * 3]))))
    for g in p.get('gamma', []):
        chosen.append((GammaTransform((0.7, 1.5), 0, False, 1, 1), dict(apply_to_channel=one, retain_stats=torch.tensor([True]),
                                                                      invert_image=torch.tensor([False]), gamma=torch.tensor([g['exponent']]))))
    return chosen


def sample(image, labels, patch, p):
    data = spatial(patch, p)(image=image, segmentation=labels)
    data = {k: v.clone() for k, v in data.items()}  # a patch that is not turned is a view of the case
    data = RemoveLabelTransform(-1, 0)(**data)
    for transform, parameters in intensities(p):
        data = transform(**data) if parameters is None else transform.apply(data, **parameters)
    axes = [a for a, flip in enumerate(p.get('flip', [])) if flip]
    return MirrorTransform((0, 1, 2)).apply(data, axes=axes)


def work(task):
    with open(os.path.join(task['folder'], 'parameters.json')) as file:
        parameters = json.load(file)
    image, labels = case(task['patch'])

    def run():
        for p in parameters:
            sample(image, labels, task['patch'], p)
    return run
