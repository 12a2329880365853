"""Measurements of the whole and of its parts.

`python -m benchmarks NAME --json FILE [--data DIR] [arguments of the benchmark]` prints a table and
writes one JSON file.

A benchmark is a module `benchmarks/NAME.py` with one function:

    def run(data: Path | None, arguments: Sequence[str] = ()) -> Mapping[str, float]: ...

- `data`: folder of private measuring material (`--data`, else `FACESWAP_DATA`); None: use the committed
  `tests/data/wearers`.
- `arguments`: what the command line held that `__main__` did not know; parse it with an
  `argparse.ArgumentParser` of your own.
- the result: flat metric name → number. A name begins with what was measured: `photo.frame_ms_p50`,
  `relay.added_ms_p95`.

A benchmark prints nothing on standard output; progress goes to standard error. It stops every process it started.
"""

import os

# Before NumPy is imported, as in the service: what is measured is one thread's work.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
