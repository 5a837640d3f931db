"""Runs rows: `bench --list`, `bench --all`, `bench NAME...`, `bench --resume`. See ../bench."""
import fnmatch
import json
import sys
import traceback

import children
import inputs
import measure
import report
from rows import ROWS

UNFINISHED = children.HOME / 'unfinished.json'  # names of the rows that the last run has not measured


def run(row):
    """Measures a row, prints its line, writes its row; tells whether it is as it must be."""
    order = [r.name for r in ROWS]
    if row.measure == 'parity':
        found = measure.parity(row)
        print(report.parity_line(row, found), flush=True)
        report.write(order, report.parity_cells(row, found))
        return all(l2 <= measure.PARITY[p][0] and labels >= measure.PARITY[p][1] for p, (l2, labels) in found.items())
    kinds = {'seconds': measure.seconds, 'bytes': measure.bytes_over_start, 'startup': measure.startup, 'case': measure.case, 'case bytes': measure.case_bytes, 'less': measure.less}
    result = kinds[row.measure](row)
    print(report.line(row, result), flush=True)
    if result.good:
        report.write(order, report.cells(row, result))
    return result.good


def run_all(names):
    """Measures rows by name. One that fails does not stop the others, and is left for --resume."""
    rows, good = {r.name: r for r in ROWS}, True
    left = list(names)
    for name in names:
        UNFINISHED.write_text(json.dumps(left))
        measure.note(f'{name}: {rows[name].what}')
        try:
            good = run(rows[name]) and good
        except inputs.Skip as reason:
            print(f'{name} skipped: {reason}', flush=True)
        except Exception:
            traceback.print_exc()
            print(f'{name} FAILED', flush=True)
            good = False
            continue
        left.remove(name)
    UNFINISHED.write_text(json.dumps(left))
    return 0 if good else 1


def chosen(words):
    """Names of the rows that are asked for, and words that name none."""
    order = [r.name for r in ROWS]
    if words == ['--all']:
        return order, []
    if words == ['--resume']:
        return json.loads(UNFINISHED.read_text()) if UNFINISHED.exists() else [], []
    names = [n for n in order if any(fnmatch.fnmatch(n, w) for w in words)]
    return names, [w for w in words if not fnmatch.filter(order, w)]


def main():
    words = sys.argv[1:]
    if words == ['--list']:
        print('\n'.join(f'{r.name:28}{r.what}' for r in ROWS))
        return 0
    names, unknown = chosen(words)
    if unknown or not words:
        print(f"bench: no row {' '.join(unknown)}; --list names them" if unknown else 'bench: name rows, or --all, --resume or --list', file=sys.stderr)
        return 2
    children.build()
    return run_all(names)


sys.exit(main())
