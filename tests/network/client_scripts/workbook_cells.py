"""Holds a workbook of ours against the one that genai-bench makes of the same run: sheets, cells, formats, folded columns.

    workbook_cells.py OURS THEIRS

Ends with 1 where they differ.
"""

import json
import sys

from openpyxl import load_workbook


def alike(ours, theirs):
    """Numbers to nine digits: both tools print doubles, and add in another order. Objects in text are read first."""
    if isinstance(ours, (int, float)) and isinstance(theirs, (int, float)):
        return abs(ours - theirs) <= 1e-9 * max(abs(ours), abs(theirs), 1e-9)
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return list(ours) == list(theirs) and all(alike(ours[key], theirs[key]) for key in ours)
    if all(isinstance(text, str) and text.startswith("{") for text in (ours, theirs)):
        return alike(json.loads(ours), json.loads(theirs))
    return ours == theirs


def differences(ours, theirs):
    if ours.sheetnames != theirs.sheetnames:
        yield f"sheets: {ours.sheetnames}, {theirs.sheetnames}"
    for name in theirs.sheetnames:
        mine, tools = ours[name], theirs[name]
        if (mine.max_row, mine.max_column) != (tools.max_row, tools.max_column):
            yield f"{name}: {mine.dimensions}, {tools.dimensions}"
        for row in tools.iter_rows():
            for cell in row:
                own = mine[cell.coordinate]
                if not alike(own.value, cell.value):
                    yield f"{name} {cell.coordinate}: {own.value!r}, {cell.value!r}"
                if cell.value is not None and own.font.b != cell.font.b:
                    yield f"{name} {cell.coordinate}: bold {own.font.b}, {cell.font.b}"
                if isinstance(cell.value, float) and own.number_format != cell.number_format:
                    yield f"{name} {cell.coordinate}: {own.number_format}, {cell.number_format}"
        merged = [sorted(str(it) for it in sheet.merged_cells.ranges if it.size["rows"] > 1) for sheet in (mine, tools)]
        if merged[0] != merged[1]:
            yield f"{name} merged: {merged[0]}, {merged[1]}"
        folded = [
            sorted(letter for letter, it in sheet.column_dimensions.items() if it.hidden) for sheet in (mine, tools)
        ]
        if folded[0] != folded[1]:
            yield f"{name} folded: {folded[0]}, {folded[1]}"


def main(ours, theirs):
    found = list(differences(load_workbook(ours), load_workbook(theirs)))
    for line in found:
        print(line)
    print(f"{len(found)} differences")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
