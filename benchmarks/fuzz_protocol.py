"""Programs that speak the sandbox's protocol themselves and answer whatever they like, for as long as is asked for.

    python benchmarks/fuzz_protocol.py --seconds 60        exits 1 at the first answer that breaks a property

The programs and the properties are those of `tests/helpers/protocol_fuzzer.py`, of which the tests try the first seeds.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from herl_bench.sandbox import Sandbox

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from helpers.protocol_fuzzer import fuzz


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--isolation", default="auto")
    options = parser.parse_args()
    end, first, seen = time.monotonic() + options.seconds, options.first, Counter[str]()
    with Sandbox(workers=2, isolation=options.isolation) as sandbox:
        while time.monotonic() < end:
            try:
                seen.update(verdict.status for _, verdict in fuzz(sandbox, range(first, first + 100)))
            except AssertionError as error:
                sys.exit(str(error))
            first += 100
    print(f"{sum(seen.values())} programs:", ", ".join(f"{count} {status}" for status, count in seen.most_common()))


if __name__ == "__main__":
    main()
