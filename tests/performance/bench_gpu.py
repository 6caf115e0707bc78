"""The encoders on a GPU: says so where none is at hand, and reports nothing.

make bench-gpu        (or: python -m tests.performance.bench_gpu)
"""

from __future__ import annotations

import sys


def main() -> int:
    import torch

    if not torch.cuda.is_available():
        print("bench-gpu: no GPU is at hand (torch finds no CUDA device); nothing was measured")
        return 0
    print(
        "bench-gpu: a GPU is at hand, and its measurements are not built yet; nothing was measured",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
