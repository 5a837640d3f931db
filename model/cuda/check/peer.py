"""The peer's side of model/cuda/gpucheck: PyTorch's training step and inference tile as nnU-Net v2 runs them.

It reads requests, one line of JSON each, and answers each with a line:
  {"prepare": NAME, "engine": ..., "work": ..., ...}   builds and warms up a task: {"seconds": ..., "bytes": ...}
  {"time": NAME, "runs": N}                            {"times": [seconds, ...]}
  {"drop": true}                                       gives all memory back: {}
An engine is eager (NCDHW), channels_last (channels_last_3d) or compile (torch.compile of the eager network, nnU-Net's default).
What fails is answered by {"error": ...}. `--card N` names the card, as the driver numbers them. `--warm` reads tasks and only compiles them, for the compiler's cache on disk.
`--fake` times a sleep and refuses to compile: for tests of who asks.
"""
import json
import sys
import time


def fake(task):
    if task['engine'] == 'compile':
        raise RuntimeError('a fake does not compile')
    return lambda: time.sleep(1e-3), lambda: 1 << 20


def block(ci, co, kernel, stride):
    from torch import nn
    return nn.Sequential(nn.Conv3d(ci, co, kernel, stride, [(k - 1) // 2 for k in kernel]), nn.InstanceNorm3d(co, eps=1e-5, affine=True),
                         nn.LeakyReLU(0.01, inplace=True))


def unet(task):
    """nnU-Net's PlainConvUNet: two convolutions a stage, transposed convolutions, a head for every decoder stage."""
    import torch
    from torch import nn

    class UNet(nn.Module):
        def __init__(self, features, kernels, strides, classes, deep):
            super().__init__()
            self.deep = deep
            ins = [1] + features
            self.encoder = nn.ModuleList(nn.Sequential(block(ins[i], f, kernels[i], strides[i]), block(f, f, kernels[i], [1, 1, 1])) for i, f in enumerate(features))
            below = range(len(features) - 2, -1, -1)
            self.up = nn.ModuleList(nn.ConvTranspose3d(features[i + 1], features[i], strides[i + 1], strides[i + 1]) for i in below)
            self.decoder = nn.ModuleList(nn.Sequential(block(2 * features[i], features[i], kernels[i], [1, 1, 1]), block(features[i], features[i], kernels[i], [1, 1, 1])) for i in below)
            self.heads = nn.ModuleList(nn.Conv3d(features[i], classes, 1) for i in below)

        def forward(self, x):
            skips = []
            for stage in self.encoder:
                x = stage(x)
                skips.append(x)
            outputs, last = [], len(self.up) - 1
            for i, (up, stage, head) in enumerate(zip(self.up, self.decoder, self.heads)):
                x = stage(torch.cat((up(x), skips[-2 - i]), 1))
                if self.deep or i == last:
                    outputs.append(head(x))
            return outputs[::-1] if self.deep else outputs[-1]

    return UNet(task['features'], task['kernels'], task['strides'], task['classes'], task['work'] == 'train')


def loss(outputs, targets):
    """DC_and_CE_loss with batch Dice under deep supervision: weights 1, 1/2, 1/4, ... and 0 for the last, normalised."""
    import torch
    weights = [0.5**i for i in range(len(outputs))]
    if len(weights) > 1:
        weights[-1] = 0
    total = 0
    for logits, target, weight in zip(outputs, targets, weights):
        if weight == 0:
            continue
        p = torch.softmax(logits, 1)[:, 1:]
        with torch.no_grad():
            onehot = torch.zeros(logits.shape, device=logits.device, dtype=torch.bool).scatter_(1, target.long(), 1)[:, 1:]
            reference = onehot.sum((0, 2, 3, 4))
        dice = (2 * (p * onehot).sum((0, 2, 3, 4)) + 1e-5) / torch.clip(reference + p.sum((0, 2, 3, 4)) + 1e-5, 1e-8)
        total = total + weight / sum(weights) * (torch.nn.functional.cross_entropy(logits, target[:, 0].long()) - dice.mean())
    return total


def place():
    """The device of all work: the card that --card names, else the first, which becomes PyTorch's current one; the CPU where there is none."""
    import torch
    if not torch.cuda.is_available():
        return torch.device('cpu')
    card = int(sys.argv[sys.argv.index('--card') + 1]) if '--card' in sys.argv else 0
    torch.cuda.set_device(card)
    return torch.device(f'cuda:{card}')


def prepare(task):
    """The work of a task, done once a call and waited for, and the memory it has reserved."""
    import torch
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    device = place()
    cuda = device.type == 'cuda'
    dtype = torch.float16 if cuda else torch.bfloat16
    layout = torch.channels_last_3d if task['engine'] == 'channels_last' else torch.contiguous_format
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        before = torch.cuda.memory_reserved()
        torch.cuda.reset_peak_memory_stats()
    net = unet(task).to(device, memory_format=layout)
    run = torch.compile(net) if task['engine'] == 'compile' else net
    image = torch.randn(task['batch'], 1, *task['patch'])
    target = torch.randint(0, task['classes'], image.shape, dtype=torch.int16)
    targets, stride = [], [1, 1, 1]
    for s in task['strides'][:-1]:
        stride = [a * b for a, b in zip(stride, s)]
        targets.append(target[:, :, ::stride[0], ::stride[1], ::stride[2]].contiguous())
    if cuda:
        image, targets = image.pin_memory(), [t.pin_memory() for t in targets]

    def upload(x):
        return x.to(device, non_blocking=True)

    def wait():
        if cuda:
            torch.cuda.synchronize()

    def tile():
        with torch.inference_mode(), torch.autocast(device.type, dtype):
            run(upload(image).contiguous(memory_format=layout))
        wait()

    if task['work'] == 'train':
        optimiser = torch.optim.SGD(net.parameters(), 0.01, momentum=0.99, nesterov=True, weight_decay=3e-5)
        scaler = torch.amp.GradScaler(device.type, enabled=cuda)

    def step():
        data, labels = upload(image).contiguous(memory_format=layout), [upload(t) for t in targets]
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(device.type, dtype):
            value = loss(run(data), labels)
        scaler.scale(value).backward()
        scaler.unscale_(optimiser)
        torch.nn.utils.clip_grad_norm_(net.parameters(), 12)
        scaler.step(optimiser)
        scaler.update()
        wait()

    work = step if task['work'] == 'train' else tile
    net.train(task['work'] == 'train')
    return work, lambda: torch.cuda.max_memory_reserved() - before if cuda else 0


def answer(request, tasks, build):
    if 'prepare' in request:
        start = time.perf_counter()
        work, reserved = build(request)
        for _ in range(3):
            work()
        tasks[request['prepare']] = work
        return {'seconds': time.perf_counter() - start, 'bytes': reserved()}
    if 'time' in request:
        times = []
        for _ in range(request['runs']):
            start = time.perf_counter()
            tasks[request['time']]()
            times.append(time.perf_counter() - start)
        return {'times': times}
    tasks.clear()
    if build is prepare:
        import gc

        import torch
        gc.collect()
        torch._dynamo.reset()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return {}


def main():
    build, tasks = fake if '--fake' in sys.argv else prepare, {}
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line), tasks, build)
        except Exception as e:  # it is the asker's to report
            reply = {'error': f'{type(e).__name__}: {e}'[:500]}
        if '--warm' in sys.argv:
            answer({'drop': True}, tasks, build)
        print(json.dumps(reply), flush=True)


if __name__ == '__main__':
    main()
