"""Holds an export of ours against a file that the tool itself wrote: keys and columns of ours that the tool has not, and
those of the tool that we leave empty.

    export_shapes.py OURS THEIRS

OURS and THEIRS are two files of one kind: .json, .jsonl or .csv. Ends with 1 where ours has a key, a column, a unit or an
order of columns that theirs has not. What only theirs has is printed and is no fault: docs/exports.md says why.
"""

import csv
import json
import sys

# What we say of ourselves, where the tool's readers skip what they do not know: a field, and a section of a table.
OURS = "bareflight"
OUR_SECTION = "Mark"
# Entries of these stand for data, and their names are no part of the shape.
DATA = {"error_codes_frequency", "input_config", "run_info", "auth_config", "request_inputs", "response_outputs"}


def keys(value, path=""):
    """Paths of all keys; elements of a list count as one."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == OURS:
                continue
            yield f"{path}/{key}"
            if key == "unit":
                yield f"{path}/unit={inner}"
            if key not in DATA:
                yield from keys(inner, f"{path}/{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner, f"{path}[]")


def of_json(path):
    with open(path) as file:
        return set(keys(json.load(file)))


def of_lines(path):
    with open(path) as file:
        return set().union(*(keys(json.loads(line)) for line in file if line.strip()))


def of_csv(path):
    """Headers as whole lines, so that their order counts, and the first cell of each row."""
    found = set()
    with open(path, newline="") as file:
        for row in csv.reader(file):
            if row and row[0] == OUR_SECTION:
                break
            if row:
                found.add(",".join(row) if row[0] in ("Metric", "Endpoint") else row[0])
    return found


def main(ours, theirs):
    read = {"json": of_json, "jsonl": of_lines, "csv": of_csv}[ours.rsplit(".", 1)[-1]]
    mine, tools = read(ours), read(theirs)
    for key in sorted(tools - mine):
        print(f"only theirs: {key}")
    wrong = sorted(mine - tools)
    for key in wrong:
        print(f"ONLY OURS: {key}")
    print(f"{len(mine & tools)} alike, {len(tools - mine)} only theirs, {len(wrong)} only ours")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
