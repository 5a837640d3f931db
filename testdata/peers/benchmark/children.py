"""The two sides as long-lived processes that work when told to, and how a peer's process is set up."""
import dataclasses
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[2]
HOME = pathlib.Path(os.environ['NOISYSTUDENT_BENCH'])
CORES = len(os.sched_getaffinity(0))
JEMALLOC = next(HOME.glob('jemalloc/**/libjemalloc.so.2'), None)

# Allocators by name. PyTorch's own loses much of its time to pages that are given
# back and faulted in again; "kept" gives none back, "huge" also asks for large pages.
KEPT = 'glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=1099511627776:glibc.malloc.arena_max=1'
ALLOCATORS = {
    'libc': {},
    'kept': {'GLIBC_TUNABLES': KEPT},
    'huge': {'GLIBC_TUNABLES': KEPT + ':glibc.malloc.hugetlb=1'},
    'jemalloc': {'LD_PRELOAD': str(JEMALLOC), 'MALLOC_CONF': 'oversize_threshold:1,dirty_decay_ms:-1,muzzy_decay_ms:-1,thp:always'},
}


@dataclasses.dataclass(frozen=True)
class Setting:
    """How a peer runs. Stock is what nnU-Net does: eager, as many threads as cores."""
    engine: str = 'eager'
    alloc: str = 'libc'
    threads: int = CORES
    layout: str = 'plain'
    bind: bool = False

    def __str__(self):
        words = [self.engine, f'{self.threads} thread' + 's' * (self.threads > 1)]
        words += [f'allocator {self.alloc}'] * (self.alloc != 'libc') + ['channels last'] * (self.layout == 'last') + ['bound'] * self.bind
        return ', '.join(words)

    def possible(self):
        return self.alloc != 'jemalloc' or JEMALLOC is not None

    def task(self):
        return {'engine': self.engine, 'layout': self.layout, 'threads': self.threads}

    def environment(self):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(('OMP_', 'KMP_', 'GOMP_', 'MKL_', 'OPENBLAS_', 'MALLOC_'))}
        bound = {'OMP_PROC_BIND': 'close', 'OMP_PLACES': 'cores'} if self.bind else {}
        return clean | ALLOCATORS[self.alloc] | bound | {'OMP_NUM_THREADS': str(self.threads), 'TORCHINDUCTOR_CACHE_DIR': str(HOME / 'inductor')}


class Child:
    """A process that works for each line and answers with what it took: wall, cpu, base, peak. Its work is prepared when it is made."""

    def __init__(self, command, environment=None):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f'{self.process.args[0]} ended with {self.process.wait()}')
        return json.loads(line)

    def run(self, line=''):
        self.process.stdin.write(line + '\n')
        self.process.stdin.flush()
        return self.answer()

    def save(self):
        """Leaves the last result in the task's folder."""
        self.run('save')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


def build():
    """Compiles the program and our side."""
    for name, package in (('noisystudent', '.'), ('ours', './testdata/peers/benchmark/ours')):
        subprocess.run(['go', 'build', '-o', HOME / name, package], cwd=ROOT, check=True)


def ours(task, threads):
    return Child([HOME / 'ours', json.dumps(task | {'threads': threads})])


def peer(task, setting):
    return Child([sys.executable, HERE / 'peer.py', json.dumps(task | setting.task())], setting.environment())
