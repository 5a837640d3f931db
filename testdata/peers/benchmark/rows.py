"""The rows: what is compared, how often, and which ratio is asked for."""
import dataclasses
from collections.abc import Callable

import inputs
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
TURNS = 2  # of whole cases; rows of one scan share them
EITHER = [Setting(), Setting(threads=1)]


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    what: str  # for people; both sides do it
    floor: float | str
    goal: float | str
    task: dict = dataclasses.field(default_factory=dict)
    peers: list = dataclasses.field(default_factory=lambda: STOCK)
    threads: tuple = (CORES,)  # ours
    n: int = 5
    measure: str = 'seconds'
    files: Callable = dict  # makes files and gives their names, which join the task
    equal: float = 0  # least part of labels that both sides must give alike; 0: nothing is compared


def forward(name, precision, peers, floor, goal, **more):
    return Row(name, f'forward pass, {precision}, batch 1', floor, goal, {'work': 'forward', 'precision': precision, **PAPER}, peers, **more)


def train(name, precision, batch, peers, floor, goal, **more):
    return Row(name, f'training step, {precision}, batch {batch}', floor, goal, {'work': 'step', 'precision': precision, **PAPER, 'batch': batch}, peers,
               **{'n': 3, **more})


SHAPE, CRLM = 'a phantom of ' + 'x'.join(map(str, inputs.SCAN[::-1])), 'a real CT of 512x512x41 (CRLM 1004)'
CASE = PAPER | {'scan': inputs.SCAN, 'grid': inputs.GRID}


def case(name, what, floor, goal, peer, files, equal, **task):
    """A step of a case's way, in processes that have loaded and warmed up."""
    return Row(name, f'{SHAPE}: {what}', floor, goal, CASE | task, [Setting(peer)], files=files, equal=equal)


def predict(name, scan, precision, floor, goal, equal, peer='eager', **more):
    """A case from file to file, in whole processes."""
    what = f"{dict(phantom=SHAPE, crlm=CRLM, huge='a phantom of 512x512x800, 1 mm slices')[scan]} from file to labels, step 0.5, no mirroring, nothing skipped"
    if more.get('measure') == 'case bytes':
        what += ': memory of all processes'
    return Row(name, what, floor, goal, PAPER | {'scan': scan, 'precision': precision, 'tiles': 'all'}, [Setting(peer)], equal=equal, **{'n': 1 if inputs.SMALL else TURNS, 'measure': 'case', **more})


def less(name, what, floor, goal, peers, **task):
    """A case of which only a part is computed. Its labels are no others' labels: where they lie is checked, and what they lose is told."""
    return Row(name, what, floor, goal, {'precision': 'fp32', **task}, peers, n=1 if inputs.SMALL else TURNS, measure='less')


MEDIAN = 'x'.join(map(str, inputs.MEDIAN[0][::-1]))


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
    case('preprocess-case', '0.74 to 0.8 mm, image and labels, from files to files', 4, 10, "nnU-Net's DefaultPreprocessor", inputs.case, .999, work='preprocess'),
    case('export-probabilities', "a network's output to labels on the scan's grid, resampled, then arg-max", 10, 30, "nnU-Net's export", inputs.logits, .999, work='export', way='probabilities'),
    case('export-labels', "a network's output to labels on the scan's grid, arg-max, then nearest", 3, 6, 'arg-max by PyTorch, nearest by numpy', inputs.logits, .9999, work='export', way='labels'),
    case('metrics-case', 'DSC and NSD of 13 organs, in memory', 8, 30, 'surface-distance 0.1', inputs.case, 1, work='score', way='arrays'),
    case('metrics-case-flare', "DSC and NSD of 13 organs by FLARE22's script, from files", 8, 30, "FLARE22's script", inputs.case, 1, work='score', way='files'),
    predict('predict-case-fp32', 'phantom', 'fp32', 3.5, 6, .99),
    predict('predict-case-bf16', 'phantom', 'bf16', 6, 8.5, .95),
    predict('predict-case-bf16-autocast', 'phantom', 'bf16', 3, 4, .95, 'bf16 autocast'),
    predict('predict-crlm-fp32', 'crlm', 'fp32', 3.5, 6, .99),
    predict('predict-crlm-bf16', 'crlm', 'bf16', 6, 8.5, .95),
    predict('predict-crlm-bf16-autocast', 'crlm', 'bf16', 3, 4, .95, 'bf16 autocast'),
    predict('predict-memory', 'phantom', 'fp32', 5, 7, .99, n=1, measure='case bytes'),
    predict('predict-huge', 'huge', 'fp32', 'under 4 GB', 'under 2.5 GB', .99, n=1, measure='case bytes'),
    less('predict-case-skip', f'{SHAPE} from file to labels, step 0.5, no mirroring; ours computes the body only', 8, 15, STOCK, **PAPER, scan='phantom', tiles='body'),
    less('laptop-case', f'a phantom of {MEDIAN}, the median of FLARE 2022, from file to labels, preset laptop', 'under 60 s', 'under 20 s', [], scan='median', tiles='region'),
    Row('startup', 'noisystudent --version; importing nnunetv2\'s predictor', 20, 50, n=7, measure='startup'),
    Row('parity-forward', 'logits of one image from the same weights, batch 1', 0, 0, {'work': 'forward', **PAPER}, measure='parity'),
]
