"""Reads an interval log with HdrHistogram's reader for Python and prints, as JSON, what each tag adds up to.

    read_hlog.py LOG
"""

import json
import sys

from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

LONGEST_NS = 3_600_000_000_000


def main(path):
    reader = HistogramLogReader(path, HdrHistogram(1, LONGEST_NS, 3))
    found = {}
    while histogram := reader.get_next_interval_histogram():
        tag = histogram.get_tag()
        if tag not in found:
            found[tag] = HdrHistogram(1, LONGEST_NS, 3)
        found[tag].add(histogram)
    summary = {
        tag: {
            "count": all_of_it.get_total_count(),
            "p50_ms": all_of_it.get_value_at_percentile(50) / 1e6,
            "p99_ms": all_of_it.get_value_at_percentile(99) / 1e6,
            "max_ms": all_of_it.get_max_value() / 1e6,
        }
        for tag, all_of_it in found.items()
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main(sys.argv[1])
