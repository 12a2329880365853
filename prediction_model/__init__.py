"""The prediction service: find → align → swap → paste → label."""

import os

# Before NumPy is imported: threads inside a frame only get in the way of the frames beside it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
