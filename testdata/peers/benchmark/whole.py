"""Whole processes from file to file: `noisystudent predict` and nnU-Net's command, with the same scan and the same weights."""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time

import children
import inputs
from children import HERE, HOME

SAMPLE_SECONDS = .2
SPARE_BYTES = 1 << 30  # a peer that leaves the machine less is ended
SCANS = {
    'phantom': lambda: inputs.case()['image'],
    'crlm': inputs.crlm,
    'median': lambda: inputs.case(*inputs.MEDIAN)['image'],
    'huge': lambda: inputs.case((160, 256, 240) if inputs.SMALL else (800, 512, 512), (1., .8, .8))['image'],
}


class Sides:
    """Both sides of a row, in a folder that is given."""

    export, model = 'probabilities', ()

    def __init__(self, row, folder):
        self.row, self.folder = row, pathlib.Path(folder)
        (self.folder / 'scans').mkdir()
        (self.folder / 'scans' / 'case_0000.nii.gz').symlink_to(SCANS[row.task['scan']]())
        self.models()

    def models(self):
        """The same random weights for both."""
        row, folder = self.row, str(self.folder)
        with children.peer(row.task | {'work': 'model', 'folder': folder}, row.peers[0]):
            pass
        with children.ours({'work': 'store', 'folder': folder}, 1):
            pass

    def ours(self, precision, tiles, labels, **watch):
        shutil.rmtree(self.folder / 'ours', ignore_errors=True)
        shutil.copytree(self.folder / 'store', self.folder / 'ours' / 'store')
        return self.took('ours', labels, [
            HOME / 'noisystudent', 'predict', '--store', self.folder / 'ours' / 'store', '--input', self.folder / 'scans', '--output', self.folder / 'ours',
            '--device', 'cpu', '--threads', str(children.CORES), '--export', self.export, '--precision', precision, '--tiles', tiles, *self.model,
        ], None, **watch)

    def peer(self, setting, labels, **watch):
        shutil.rmtree(self.folder / 'peer', ignore_errors=True)
        command = [sys.executable, HERE / 'autocast.py'] if setting.engine == 'bf16 autocast' else [pathlib.Path(sys.executable).parent / 'nnUNetv2_predict_from_modelfolder']
        return self.took('peer', labels, [
            *command, '-i', self.folder / 'scans', '-o', self.folder / 'peer', '-m', self.folder / 'nnunet', '-f', '0', '--disable_tta', '-device', 'cpu',
            '-npp', '1', '-nps', '1',
        ], setting.environment(), **watch)

    def took(self, side, labels, command, environment, **watch):
        """What a command took; its labels are moved to a place that the next run leaves alone."""
        run = took(command, environment, **watch)
        if not run['ended']:
            shutil.move(self.folder / side / 'case.nii.gz', labels)
        return run


class Laptop(Sides):
    """Our side alone, by the preset laptop, whose weights have seen one step: labels of every class anywhere."""

    export, model = 'labels', ('--model', 'teacher/0')

    def models(self):
        shape = '40,96,96' if inputs.SMALL else '80,288,352'
        run = lambda command, *words: took([HOME / 'noisystudent', command, *words], None)  # noqa: E731
        data, store = self.folder / 'fine', self.folder / 'store'
        run('phantom', '--out', data, '--labelled', '4', '--unlabelled', '0', '--test', '0', '--shape', shape, '--spacing', '2.5,1,1', '--seed', '21', '--shifted=false')
        sets = [f'--set=training.{s}' for s in ('folds=2', 'steps_per_epoch=1', 'teacher_epochs=1')]
        run('plan', '--dataset', data, '--store', store, '--preset', 'laptop', '--set=batch_size=1', *sets)
        run('train', '--dataset', data, '--store', store, '--role', 'teacher', '--fold', '0', '--device', 'cpu')


def took(command, environment, memory=False):
    """Seconds of the clock and of all processes; with memory also the most that all of them held together, in bytes. Where that leaves the
    machine too little, they are ended, and "ended" is true."""
    begin, before = time.perf_counter(), os.times()
    with open(HOME / 'last.log', 'w') as log:
        process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True)
        watch = Watch(process.pid) if memory else None
        try:
            code = process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    wall, after = time.perf_counter() - begin, os.times()
    peak, ended = watch.end() if memory else (0, False)
    if code and not ended:
        raise RuntimeError(f'{command[0]} ended with {code}: {open(HOME / "last.log").read()[-2000:]}')
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {'wall': wall, 'cpu': cpu, 'peak': peak, 'ended': ended}


class Watch:
    """Samples the memory of a process and all that come from it: the sum of their PSS, in which shared pages count once."""

    def __init__(self, pid):
        self.pid, self.peak, self.ended, self.over = pid, 0, False, threading.Event()
        self.thread = threading.Thread(target=self.sample, daemon=True)
        self.thread.start()

    def sample(self):
        while not self.over.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, sum(map(pss, tree(self.pid))))
            if field('/proc/meminfo', 'MemAvailable:') < SPARE_BYTES:
                self.ended = True
                os.killpg(self.pid, signal.SIGKILL)
                return

    def end(self):
        self.over.set()
        self.thread.join()
        return self.peak, self.ended


def tree(pid):
    """A process and its descendants."""
    yield pid
    try:
        for thread in os.listdir(f'/proc/{pid}/task'):
            with open(f'/proc/{pid}/task/{thread}/children') as file:
                for child in file.read().split():
                    yield from tree(int(child))
    except OSError:
        return  # it has ended


def pss(pid):
    try:
        return field(f'/proc/{pid}/smaps_rollup', 'Pss:')
    except OSError:
        return 0


def field(path, name):
    with open(path) as file:
        return next((int(line.split()[1]) << 10 for line in file if line.startswith(name)), 0)
