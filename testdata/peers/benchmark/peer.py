"""The peer's side of testdata/peers/bench: PyTorch and nnU-Net on the CPU.

Its argument is a task as JSON, as of ours/main.go, with two fields more: "engine" is eager or compile (torch.compile,
for a forward pass with frozen weights), "layout" plain or last (channels_last_3d). It prepares the work, says so with a
line, and then does the work once for every line that it reads, or saves its result where the line is "save", answering with
what it took.
"""
import json
import os
import sys
import time

import numpy as np
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from torch import nn

CLASSES = 14
KERNELS = [[1, 3, 3]] + [[3, 3, 3]] * 5
STRIDES = [[1, 1, 1], [1, 2, 2], [2, 2, 2], [2, 2, 2], [2, 2, 2], [1, 2, 2]]


def memory(field):
    """A line of this process's status, in bytes."""
    with open('/proc/self/status') as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith(field + ':'))


def network(task, deep_supervision):
    """What nnU-Net instantiates for its plan of FLARE22, cut to the task's stages; norms and biases not at their start."""
    n = len(task['features'])
    net = PlainConvUNet(1, n, task['features'], nn.Conv3d, KERNELS[:n], STRIDES[:n], 2, CLASSES, 2, conv_bias=True, norm_op=nn.InstanceNorm3d,
                        norm_op_kwargs=dict(eps=1e-5, affine=True), nonlin=nn.LeakyReLU, nonlin_kwargs=dict(inplace=True),
                        deep_supervision=deep_supervision)
    torch.manual_seed(0)
    net.apply(PlainConvUNet.initialize)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn(parameter.shape) * 0.1)
    image = torch.randn(task['batch'], 1, *task['patch'])
    if task.get('layout') == 'last':
        net, image = net.to(memory_format=torch.channels_last_3d), image.to(memory_format=torch.channels_last_3d)
    return net, image


def forward(task):
    net, image = network(task, False)
    net.eval()
    if 'folder' in task:
        save(task['folder'], 'network', {**unique(net), 'image': image})
    if task['precision'] == 'bf16':
        net, image = net.bfloat16(), image.bfloat16()
    run = compiled(net, task)

    def work():
        with torch.inference_mode():
            logits = run(image)
        if 'folder' in task:
            save(task['folder'], 'expected', {'logits': logits})
    return work


def compiled(net, task):
    if task.get('engine') != 'compile':
        return net
    import torch._inductor.config as inductor
    inductor.freezing = not net.training
    return torch.compile(net)


def unique(net):
    """The weights; nnU-Net's state dict names each up to four times."""
    return {k: v for k, v in net.named_parameters() if 'all_modules' not in k and not k.startswith('decoder.encoder.')}


def save(folder, name, tensors):
    from safetensors.torch import save_file
    save_file({k: v.detach().contiguous() for k, v in tensors.items()}, os.path.join(folder, name + '.safetensors'))


def step(task):
    """A training step of nnU-Net's trainer: its loss, clipping and optimiser, bf16 by autocast."""
    net, image = network(task, True)
    net.train()
    scales = np.cumprod(STRIDES[:len(task['features'])], 0)[:-1]
    weights = 1 / 2.0 ** np.arange(len(scales))
    weights[-1] = 0
    loss = DeepSupervisionWrapper(DC_and_CE_loss({'batch_dice': True, 'smooth': 1e-5, 'do_bg': False, 'ddp': False}, {},
                                                 dice_class=MemoryEfficientSoftDiceLoss), weights / weights.sum())
    targets = [torch.randint(0, CLASSES, (task['batch'], 1, *(p // s for p, s in zip(task['patch'], scale)))).float() for scale in scales]
    optimizer = torch.optim.SGD(net.parameters(), 0.01, weight_decay=3e-5, momentum=0.99, nesterov=True)
    run = compiled(net, task)

    def work():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast('cpu', torch.bfloat16, enabled=task['precision'] == 'bf16'):
            value = loss(run(image), targets)
        value.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 12)
        optimizer.step()
    return work


def augment(task):
    import augmentation
    return augmentation.work(task)


def model(task):
    """No work: it writes the network for whole.py."""
    import model
    model.write(task)


def case(task):
    import pipeline
    return {'preprocess': pipeline.preprocess, 'export': pipeline.export, 'score': pipeline.score}[task['work']](task)


WORKS = {'forward': forward, 'step': step, 'augment': augment, 'model': model, 'preprocess': case, 'export': case, 'score': case}


def main():
    base = memory('VmRSS')
    task = json.loads(sys.argv[1])
    torch.set_num_threads(task['threads'])
    work = WORKS[task['work']](task)
    run, save = work if isinstance(work, tuple) else (work, None)
    print(json.dumps('ready'), flush=True)
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        save() if line.strip() == 'save' else run()
        answer = {'wall': time.perf_counter() - wall, 'cpu': time.process_time() - cpu, 'base': base, 'peak': memory('VmHWM')}
        print(json.dumps(answer), flush=True)


if __name__ == '__main__':
    main()
