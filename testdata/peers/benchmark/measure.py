"""Measuring a row: both sides in alternation, so that what else runs on the machine hits both."""
import dataclasses
import functools
import statistics
import sys
import tempfile
import time

import children
import compare
import numpy as np
import whole
from children import HOME
from safetensors.numpy import load_file

TRIAL_SECONDS, RUN_SECONDS = 400, 240  # no new trial, no new pair of runs after that long


@dataclasses.dataclass
class Result:
    ours: list  # seconds or bytes, one a run
    peer: list
    cpu_ratio: float | None
    how: tuple  # what ran on each side
    same: str = ''  # how far the two results agree, and
    good: bool = True  # whether that is enough

    def ratio(self):
        return statistics.median(self.peer) / statistics.median(self.ours)


def seconds(row):
    with tempfile.TemporaryDirectory() as folder:
        task = row.task | row.files() | ({} if row.task['work'] in ('forward', 'step') else {'folder': folder})
        threads = fastest(row.threads, lambda t: children.ours(task, t))
        with children.ours(task, threads) as ours:
            setting = fastest([s for s in row.peers if s.possible()], lambda s: children.peer(task, s))
            with children.peer(task, setting) as peer:
                a, b = alternate(ours, peer, row.n)
                same = compared(row, folder, ours, peer)
    per = row.task.get('samples', 1)
    how = f'{threads} thread' + 's' * (threads > 1), str(setting)
    return Result([r['wall'] / per for r in a], [r['wall'] / per for r in b], cpu_ratio(a, b), how, *same)


def compared(row, folder, ours, peer):
    if not row.equal:
        return ()
    ours.save(), peer.save()
    return compare.check(row, folder)


def alternate(ours, peer, n):
    """Runs of both, the first of each left out."""
    ours.run(), peer.run()
    a, b, end = [], [], time.monotonic() + RUN_SECONDS
    while len(a) < n and (time.monotonic() < end or not a):
        a.append(ours.run())
        b.append(peer.run())
    return a, b


def fastest(settings, start):
    """The setting whose best run is the shortest; what was tried goes to the error output."""
    if len(settings) == 1:
        return settings[0]
    tried, end = {}, time.monotonic() + TRIAL_SECONDS
    for setting in settings:
        if tried and time.monotonic() > end:
            note(f'not tried for want of time: {setting}')
            continue
        try:
            with start(setting) as child:
                child.run()
                tried[setting] = best(child)
            note(f'tried {setting}: {tried[setting]:.3f} s')
        except RuntimeError as err:
            note(f'tried {setting}: {err}')
    if not tried:
        raise RuntimeError('none of the settings ran')
    return min(tried, key=tried.get)


def best(child):
    least, runs, begin = float('inf'), 0, time.monotonic()
    while runs < 2 or time.monotonic() - begin < 3:
        least, runs = min(least, child.run()['wall']), runs + 1
    return least


def note(text):
    print('   ', text, file=sys.stderr, flush=True)


def bytes_over_start(row):
    """Most memory over what the process held after its imports; a new process each time, two runs in it."""
    def over(child):
        with child:
            child.run()
            answer = child.run()
        return answer['peak'] - answer['base']
    setting, threads = row.peers[0], row.threads[0]
    pairs = [(over(children.ours(row.task, threads)), over(children.peer(row.task, setting))) for _ in range(row.n)]
    return Result([a for a, _ in pairs], [b for _, b in pairs], None, (f'{threads} threads', str(setting)))


def startup(row):
    commands = [HOME / 'noisystudent', '--version'], [sys.executable, '-c', 'from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor']
    pairs = [[whole.took(c, None) for c in commands] for _ in range(row.n + 1)][1:]
    ours, peer = zip(*pairs)
    return Result([r['wall'] for r in ours], [r['wall'] for r in peer], cpu_ratio(ours, peer), ('`--version`', 'import of nnUNetPredictor'))


FLARE = "nothing here; FLARE 2025's fastest on a CPU took 19.3 s a case on its own machine"


def cases(rows):
    """Whole processes that label one scan, for rows that share it: in each turn every way of ours and every peer runs once."""
    memory = 'bytes' in rows[0].measure
    with tempfile.TemporaryDirectory() as folder:
        sides = (whole.Sides if rows[0].peers else whole.Laptop)(rows[0], folder)
        way, rival = lambda row, tiles='': (row.task['precision'], tiles or row.task['tiles']), lambda row: str(row.peers[0]) if row.peers else None
        jobs = {}
        for row in rows:
            jobs[way(row)] = functools.partial(sides.ours, *way(row))
            if row.measure == 'less':
                jobs[way(row, 'all')] = functools.partial(sides.ours, *way(row, 'all'))
            if row.peers:
                jobs[rival(row)] = functools.partial(sides.peer, row.peers[0])
        runs, labels = {job: [] for job in jobs}, {job: f'{folder}/labels-{i}.nii.gz' for i, job in enumerate(jobs)}
        turns = max(row.n for row in rows)
        for turn in range(turns):
            for job, run in jobs.items():
                runs[job].append(run(memory=memory, labels=labels[job]))
                note(f"turn {turn + 1} of {turns}, {job if isinstance(job, str) else 'ours ' + ' '.join(job)}: {told(runs[job][-1])}")
        return [result(row, sides, runs[way(row)], runs.get(rival(row), []), runs.get(way(row, 'all')), [labels.get(k) for k in (way(row), rival(row), way(row, 'all'))]) for row in rows]


def result(row, sides, ours, peer, every, labels):
    """A row's result from runs of ours, of the peer and of ours with nothing skipped, and what the last of each wrote."""
    if ended := [r for r in peer if r['ended']]:
        same, peer = (f'the peer took {told(ended[0])} and was ended, for no memory was left', True), []
    elif row.measure == 'less':
        text, good = compare.parts(whole.SCANS[row.task['scan']](), labels[0], labels[2])
        same = f"{text}; nothing skipped {statistics.median(r['wall'] for r in every):.1f} s", good
    else:
        same = compare.scans(row, *labels[:2])
    by = 'peak' if 'bytes' in row.measure else 'wall'
    how = f"`predict --export {sides.export} --precision {row.task['precision']} --tiles {row.task['tiles']}`, {children.CORES} threads", f'nnUNetv2_predict, {row.peers[0]}' if row.peers else FLARE
    return Result([r[by] for r in ours], [r[by] for r in peer], cpu_ratio(ours, peer) if peer and by == 'wall' else None, how, *same)


def told(run):
    return f"{run['wall']:.1f} s" + (f", {run['peak'] / (1 << 20):.0f} MiB" if run['peak'] else '')


def cpu_ratio(ours, peer):
    return statistics.median(r['cpu'] for r in peer) / max(statistics.median(r['cpu'] for r in ours), 0.01)  # the clock's tick


# precision: largest relative L2, least share of equal labels
PARITY = {'exact': (1e-5, 0.9999), 'fp32': (1e-4, 0.9999), 'bf16': (1e-2, 0)}


def parity(row):
    """Our logits against PyTorch's on the same weights, by precision; no times."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        task = row.task | {'folder': folder}
        with children.peer(task | {'precision': 'fp32'}, row.peers[0]) as peer:
            peer.run()
        for precision in PARITY:
            with children.ours(task | {'precision': precision}, row.threads[0]) as ours:
                ours.run()
            found[precision] = distance(folder)
    return found


def distance(folder):
    got, want = (load_file(f'{folder}/{name}.safetensors')['logits'].astype(np.float64) for name in ('logits', 'expected'))
    return np.linalg.norm(got - want) / np.linalg.norm(want), (got.argmax(1) == want.argmax(1)).mean()
