#!/usr/bin/env python3
"""benchcmp.py: better, worse, or noise.

    tools/benchcmp.py A B               two files of rows as bench/engine.py writes them
    tools/benchcmp.py --csv FILE A B    two commits in one file (any beginning of the id)

Compares, for every benchmark both have, the median with its quartiles. Where a bound was measured beside
the figure, both are compared as shares of it, because shared machines drift. Noise: the quartiles overlap,
or the medians differ by less than 3 %. Of several rows for one benchmark the last counts. Exit 1 when something
is worse.
"""
import argparse
import csv
import sys

NOISE = 0.03
SMALLER_IS_BETTER = ("s", "ms", "MB")


def rows_of(path, commit=None):
    found = {}
    with open(path, encoding="ascii", newline="") as f:
        for r in csv.DictReader(f):
            if commit is None or r["commit"].startswith(commit):
                bound = float(r["roof"]) or 1.0
                found[r["benchmark"], r["unit"]] = [float(r[k]) / bound for k in ("value", "low", "high")], bound != 1.0
    if not found:
        sys.exit(f"benchcmp: {path} has no rows" + (f" of commit {commit}" if commit else ""))
    return found


def verdict(a, b, unit):
    """(relative change, word) from A's (median, low, high) to B's."""
    change = b[0] / a[0] - 1 if a[0] else 0.0
    if abs(change) < NOISE or (a[1] <= b[2] and b[1] <= a[2]):
        return change, "noise"
    return change, "better" if (change < 0) == (unit in SMALLER_IS_BETTER) else "worse"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--csv", help="one file that holds both commits")
    p.add_argument("a")
    p.add_argument("b")
    o = p.parse_args()
    a = rows_of(o.csv or o.a, o.a if o.csv else None)
    b = rows_of(o.csv or o.b, o.b if o.csv else None)
    count = {"better": 0, "worse": 0, "noise": 0}
    for key in a:
        if key not in b:
            continue
        (x, x_bound), (y, y_bound) = a[key], b[key]
        if x_bound != y_bound:
            print(f"{'':7} {'':8}  {key[0]} {key[1]}: a bound was measured beside only one of them")
            continue
        change, word = verdict(x, y, key[1])
        count[word] += 1
        print(f"{word:7} {100 * change:+7.1f} %  {key[0]} {key[1]}{' (share of the bound)' if x_bound else ''}: "
              f"{x[0]:.4g} [{x[1]:.4g} {x[2]:.4g}] -> {y[0]:.4g} [{y[1]:.4g} {y[2]:.4g}]")
    missing = len(set(a) ^ set(b))
    print(", ".join(f"{n} {word}" for word, n in count.items()) + (f"; {missing} are in one only" if missing else ""))
    sys.exit(1 if count["worse"] else 0)


if __name__ == "__main__":
    main()
