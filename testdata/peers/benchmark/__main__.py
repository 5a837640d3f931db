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

ORDER = [row.name for row in ROWS]
UNFINISHED = children.HOME / 'unfinished.json'  # names of the rows that the last run has not measured


def run(row):
    """Measures a row, prints its line, writes its row; tells whether it is as it must be."""
    if row.measure == 'parity':
        found = measure.parity(row)
        print(report.parity_line(row, found), flush=True)
        report.write(ORDER, report.parity_cells(row, found))
        return all(l2 <= measure.PARITY[p][0] and labels >= measure.PARITY[p][1] for p, (l2, labels) in found.items())
    kinds = {'seconds': measure.seconds, 'bytes': measure.bytes_over_start, 'startup': measure.startup}
    return told(row, kinds[row.measure](row))


def told(row, result):
    print(report.line(row, result), flush=True)
    if result.good:
        report.write(ORDER, report.cells(row, result))
    return result.good


def shared(row):
    """What rows that are measured together have in common."""
    return (row.task['scan'], row.measure == 'case bytes', bool(row.peers)) if row.measure in ('case', 'less', 'case bytes') else row.name


def run_all(names):
    """Measures rows by name. One that fails does not stop the others, and is left for --resume."""
    left, good, groups = list(names), True, {}
    for row in ROWS:
        if row.name in names:
            groups.setdefault(shared(row), []).append(row)
    for rows in groups.values():
        UNFINISHED.write_text(json.dumps(left))
        for row in rows:
            measure.note(f'{row.name}: {row.what}')
        try:
            if isinstance(shared(rows[0]), str):
                good = run(rows[0]) and good
            else:
                good = all([told(row, result) for row, result in zip(rows, measure.cases(rows))]) and good
        except inputs.Skip as reason:
            print(f"{' '.join(r.name for r in rows)} skipped: {reason}", flush=True)
        except Exception:
            traceback.print_exc()
            print(f"{' '.join(r.name for r in rows)} FAILED", flush=True)
            good = False
            continue
        left = [name for name in left if name not in [r.name for r in rows]]
    UNFINISHED.write_text(json.dumps(left))
    return 0 if good else 1


def chosen(words):
    """Names of the rows that are asked for, and words that name none."""
    if words == ['--all']:
        return ORDER, []
    if words == ['--resume']:
        return json.loads(UNFINISHED.read_text()) if UNFINISHED.exists() else [], []
    names = [n for n in ORDER if any(fnmatch.fnmatch(n, w) for w in words)]
    return names, [w for w in words if not fnmatch.filter(ORDER, w)]


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
