"""The rows: what is compared, how often, and which ratio is asked for."""
import dataclasses

from children import CORES, Setting

PAPER = {'features': [16, 32, 64, 128, 256, 320], 'patch': [40, 224, 192], 'batch': 1}
SMALL = {'features': [8, 16, 32, 64], 'patch': [32, 64, 64], 'batch': 2}

STOCK = [Setting()]
TUNED = [
    Setting('compile', 'huge'),
    Setting('compile', 'kept'),
    Setting('compile', 'jemalloc'),
    Setting('compile', 'huge', threads=1),
    Setting('compile', 'huge', bind=True),
    Setting('eager', 'huge'),
]
TUNED_BF16 = [Setting('compile', 'huge', layout='last'), Setting('eager', 'huge', layout='last'), *TUNED[:-1]]
TUNED_TRAINING = [Setting('eager', 'huge'), Setting('compile', 'huge'), Setting('eager', 'huge', layout='last'), Setting('eager', 'jemalloc')]
BF16_TRAINING = [Setting('eager', 'huge'), Setting('eager', 'huge', layout='last'), Setting('compile', 'huge')]
EITHER = [Setting(), Setting(threads=1)]


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    what: str  # for people; both sides do it
    floor: float
    goal: float
    task: dict = dataclasses.field(default_factory=dict)
    peers: list = dataclasses.field(default_factory=lambda: STOCK)
    threads: tuple = (CORES,)  # ours
    n: int = 5
    measure: str = 'seconds'


def forward(name, precision, peers, floor, goal, **more):
    return Row(name, f'forward pass, {precision}, batch 1', floor, goal, {'work': 'forward', 'precision': precision, **PAPER}, peers, **more)


def train(name, precision, batch, peers, floor, goal, **more):
    return Row(name, f'training step, {precision}, batch {batch}', floor, goal, {'work': 'step', 'precision': precision, **PAPER, 'batch': batch}, peers,
               **{'n': 3, **more})


ROWS = [
    forward('forward-fp32-stock', 'fp32', STOCK, 3.3, 5),
    forward('forward-fp32-tuned', 'fp32', TUNED, 1.3, 2),
    forward('forward-bf16-tuned', 'bf16', TUNED_BF16, 1.3, 1.6),
    train('train-fp32-stock-b2', 'fp32', 2, STOCK, 2.5, 3.5),
    train('train-fp32-tuned-b2', 'fp32', 2, TUNED_TRAINING, 1.4, 1.8),
    train('train-fp32-stock-b1', 'fp32', 1, STOCK, 2.5, 3.5),
    train('train-fp32-tuned-b1', 'fp32', 1, TUNED_TRAINING, 1.4, 1.8),
    train('train-bf16-b2', 'bf16', 2, BF16_TRAINING, 1.5, 2),
    forward('memory-forward', 'fp32', STOCK, 2.5, 3, n=2, measure='bytes'),
    train('memory-train', 'fp32', 2, STOCK, 2.2, 2.9, n=2, measure='bytes'),
    Row('small-net-train', 'training step of 8..64 features, patch 32x64x64, fp32, batch 2', 2, 3,
        {'work': 'step', 'precision': 'fp32', **SMALL}, EITHER, (CORES, 1), n=15),
    Row('augment', "the student's augmentation of 16 samples of 40x224x192, the same parameters on both sides", 3, 8,
        {'work': 'augment', 'samples': 16, 'patch': PAPER['patch'], 'batch': 1}, [Setting(threads=1)], (1,)),
    Row('startup', 'noisystudent --version; importing nnunetv2\'s predictor', 20, 50, n=7, measure='startup'),
    Row('parity-forward', 'logits of one image from the same weights, batch 1', 0, 0, {'work': 'forward', **PAPER}, measure='parity'),
]
