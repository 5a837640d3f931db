"""Runs rows: `bench --list`, `bench --all`, `bench NAME...`. See ../bench."""
import sys

import children
import measure
import report
from rows import ROWS


def run(row):
    """Measures a row, prints its line, writes its row; tells whether it is as it must be."""
    order = [r.name for r in ROWS]
    if row.measure == 'parity':
        found = measure.parity(row)
        print(report.parity_line(row, found), flush=True)
        report.write(order, report.parity_cells(row, found))
        return all(l2 <= measure.PARITY[p][0] and labels >= measure.PARITY[p][1] for p, (l2, labels) in found.items())
    result = {'seconds': measure.seconds, 'bytes': measure.bytes_over_start, 'startup': measure.startup}[row.measure](row)
    print(report.line(row, result), flush=True)
    report.write(order, report.cells(row, result))
    return True


def main():
    names = sys.argv[1:] if sys.argv[1:] != ['--all'] else [r.name for r in ROWS]
    rows = {r.name: r for r in ROWS}
    if names == ['--list']:
        print('\n'.join(f'{r.name:22}{r.what}' for r in ROWS))
        return 0
    unknown = [n for n in names if n not in rows]
    if unknown or not names:
        print(f"bench: no row {' '.join(unknown)}; --list names them" if unknown else 'bench: name rows, or --all, or --list', file=sys.stderr)
        return 2
    children.build()
    return 0 if all([run(rows[n]) for n in names]) else 1


sys.exit(main())
