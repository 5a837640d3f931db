"""Lines for the terminal and rows of BENCHMARKS.md."""
import datetime
import os
import re
import statistics

import inputs
from children import CORES, ROOT

BEGIN, END = '<!-- written by testdata/peers/bench -->', '<!-- end of what testdata/peers/bench writes -->'
HEAD = '''| row | floor / goal | ratio | by CPU time | ours, min / median | peer, min / median | n | both do | ours runs | the peer runs | when, where |
|---|---|---|---|---|---|---|---|---|---|---|'''


def line(row, result):
    digits = '.0f' if 'bytes' in row.measure else '.4g'
    ours, peer = (format(statistics.median(v), digits) if v else 'none' for v in (result.ours, result.peer))
    cpu = f' cpu_ratio={result.cpu_ratio:.2f}' if result.cpu_ratio else ''
    same = f' same="{result.same}"{"" if result.good else " WHICH IS TOO LITTLE"}' if result.same else ''
    return f'{row.name} ours={ours} peer={peer} ratio={ratio(result) or "none"} n={len(result.ours)}{cpu} load={os.getloadavg()[0]:.1f} peer_ran="{result.how[1]}"{same}'


def cells(row, result):
    cpu = f'{result.cpu_ratio:.2f}' if result.cpu_ratio else ''
    bold = f'**{ratio(result)}**' if result.peer else ''
    what = '; '.join(t for t in (row.what, result.same) if t)
    return [row.name, f'{row.floor} / {row.goal}', bold, cpu, spread(row, result.ours), spread(row, result.peer), str(len(result.ours)), what, *result.how, where()]


def ratio(result):
    return f'{result.ratio():.2f}' if result.peer else ''


def spread(row, values):
    if not values:
        return ''
    scale, unit = (1 << 20, 'MiB') if 'bytes' in row.measure else (1, 's')
    least, median = (format(v / scale, '.0f' if scale > 1 else '.3g') for v in (min(values), statistics.median(values)))
    return f'{least} / {median} {unit}'


def parity_line(row, found):
    return row.name + ''.join(f' {p}={l2:.2g} {p}_labels={labels:.6f}' for p, (l2, labels) in found.items())


def parity_cells(row, found):
    text = '; '.join(f'{p} {l2:.1e}, labels {100 * labels:.3f} %' for p, (l2, labels) in found.items())
    return [row.name, '', '', '', '', '', '1', f'{row.what}: relative L2 and equal labels: {text}', f'{CORES} threads', 'eager, float32', where()]


def where():
    with open('/proc/cpuinfo') as file:
        facts = dict(re.findall(r'^(cpu family|model name|model)\s*: (.*)$', file.read(), re.M))
    return f"{datetime.date.today()}, {facts.get('model name', 'CPU')} family {facts.get('cpu family', '?')} model {facts.get('model', '?')}, {CORES} cores, load {os.getloadavg()[0]:.1f}"


def write(order, cells):
    """Puts a row into the table of BENCHMARKS.md; other rows stay. What was only tried out on small scans is no row."""
    if inputs.SMALL:
        return
    path = ROOT / 'BENCHMARKS.md'
    text = path.read_text()
    before, rest = text.split(BEGIN)
    table, after = rest.split(END)
    rows = {line.split('|')[1].strip(): line for line in table.splitlines() if line.startswith('|')}
    rows[cells[0]] = '| ' + ' | '.join(cells) + ' |'
    kept = [rows[name] for name in order if name in rows]
    path.write_text(f'{before}{BEGIN}\n{HEAD}\n' + '\n'.join(kept) + f'\n{END}{after}')
