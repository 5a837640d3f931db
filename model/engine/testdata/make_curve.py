"""Fifty training steps of PyTorch for TestCurveEqualsPyTorch of package engine.

    $(../../../testdata/peers/bench --python) make_curve.py      (a second run gives the same bytes)

Writes curve.safetensors beside itself: initial weights of a small PlainConvUNet, a pool of made-up cases, the cases of
each step's batch, and in the metadata PyTorch's losses, gradient norms and norms of the final weights. An image is
(stored - 128) / 64. The loss is nnU-Net's (batch Dice + cross-entropy, deep supervision), the optimiser SGD with
Nesterov momentum 0.99, weight decay 3e-5, clip 12 and a learning rate 0.01 (1 - step/50)^0.9; float32, one thread. "drift"
is the largest difference of the losses from the same training in float64: what rounding alone does to a curve.
"""
import json
import os

import numpy as np
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from safetensors.numpy import save_file
from torch import nn

FEATURES, KERNELS = [8, 16, 24, 32], [[1, 3, 3], [3, 3, 3], [3, 3, 3], [3, 3, 3]]
STRIDES = [[1, 1, 1], [1, 2, 2], [2, 2, 2], [2, 2, 2]]
PATCH, CLASSES, CASES, STEPS = (16, 32, 32), 4, 12, 50


def case(rng):
    """Three ellipsoids of different brightness on a slanted background with a little noise."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in PATCH], indexing='ij'))
    image, labels = 0.3 * np.tensordot(rng.normal(size=3), grid, 1), np.zeros(PATCH, np.uint8)
    for label in range(1, CLASSES):
        centre, radius = rng.uniform(-0.6, 0.6, (3, 1, 1, 1)), rng.uniform(0.25, 0.55, (3, 1, 1, 1))
        inside = (((grid - centre) / radius) ** 2).sum(0) < 1
        labels[inside] = label
        image[inside] = label - 1.5
    image += rng.normal(0, 0.15, PATCH)
    return np.clip(np.rint(image * 64 + 128), 0, 255).astype(np.uint8), labels


def network():
    torch.manual_seed(1)
    net = PlainConvUNet(1, len(FEATURES), FEATURES, nn.Conv3d, KERNELS, STRIDES, 2, CLASSES, 2, conv_bias=True, norm_op=nn.InstanceNorm3d,
                        norm_op_kwargs=dict(eps=1e-5, affine=True), nonlin=nn.LeakyReLU, nonlin_kwargs=dict(inplace=True), deep_supervision=True)
    net.apply(PlainConvUNet.initialize)
    return net


def unique(named):
    """nnU-Net's state dict names each tensor up to four times."""
    return {k: v.detach().double().numpy() for k, v in named if 'all_modules' not in k and not k.startswith('decoder.encoder.')}


def pyramid(labels):
    scales = 1 / np.cumprod(np.array(STRIDES), 0)[:-1]
    return [torch.nn.functional.interpolate(labels.float(), [round(n * s) for n, s in zip(PATCH, scale)], mode='nearest-exact') for scale in scales]


def train(net, images, labels, order, dtype):
    net = net.to(dtype)
    weights = np.array([1, 0.5, 0]) / 1.5
    criterion = DeepSupervisionWrapper(DC_and_CE_loss({'batch_dice': True, 'smooth': 1e-5, 'do_bg': False, 'ddp': False}, {},
                                                      dice_class=MemoryEfficientSoftDiceLoss), weights)
    optimizer = torch.optim.SGD(net.parameters(), 0.01, weight_decay=3e-5, momentum=0.99, nesterov=True)
    losses, norms = [], []
    for step, batch in enumerate(order):
        optimizer.param_groups[0]['lr'] = 0.01 * (1 - step / STEPS) ** 0.9
        optimizer.zero_grad(set_to_none=True)
        x = (torch.from_numpy(images[batch]).to(dtype)[:, None] - 128) / 64
        loss = criterion(net(x), pyramid(torch.from_numpy(labels[batch])[:, None]))
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(net.parameters(), 12).item())
        optimizer.step()
        losses.append(loss.item())
    return losses, norms


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    rng = np.random.default_rng(11)
    images, labels = map(np.stack, zip(*[case(rng) for _ in range(CASES)]))
    order = np.stack([rng.permutation(CASES)[:2] for _ in range(STEPS)])
    start = unique(network().named_parameters())
    net = network()
    losses, norms = train(net, images, labels, order, torch.float32)
    exact, _ = train(network(), images, labels, order, torch.float64)
    final = {k: float(np.linalg.norm(v)) for k, v in sorted(unique(net.named_parameters()).items())}
    drift = [max(abs(a - b) for a, b in zip(losses[:n], exact)) for n in (10, STEPS)]
    print('losses', losses[0], losses[9], losses[-1], 'drift', drift)
    tensors = {'weights.' + k: v.astype(np.float32) for k, v in start.items()}
    tensors |= {'images': images, 'labels': labels, 'order': order.astype(np.uint8)}
    metadata = {'losses': losses, 'norms': norms, 'final': final, 'drift': drift}
    save_file(tensors, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'curve.safetensors'), {'curve': json.dumps(metadata)})  # several keys have no fixed order


if __name__ == '__main__':
    main()
