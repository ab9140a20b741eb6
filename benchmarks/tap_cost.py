"""What the taps cost when nobody watches: the calls of one decoding step against the step itself.

`python benchmarks/tap_cost.py [FOLDER]`; without a folder the bundled model. On a CPU an untraced step plays
a tape in which taps do not occur at all; what is measured here is the run operation by operation, in which
each is a call that gives its argument back.
"""

import statistics
import sys
import timeit

import torch

from pellucid import load_model
from pellucid.kernels import torch_ops
from pellucid.layers.context import DenseContext

ROUNDS = 15


class Counting(DenseContext):
    """Counts the taps of a forward."""

    calls = 0

    def tap(self, module, name, tensor):
        self.calls += 1
        return super().tap(module, name, tensor)


@torch.inference_mode()
def main() -> None:
    model = load_model(sys.argv[1] if len(sys.argv) > 1 else "pellucid/guide")
    ids_T = torch.zeros(1, dtype=torch.int64)
    counting = Counting([1], torch_ops)
    model(ids_T, counting)
    module, tensor = model.blocks[0].attn, torch.zeros(1)
    context = DenseContext([1], torch_ops)
    forwards, calls = [], []
    for _ in range(ROUNDS):
        forwards.append(timeit.timeit(lambda: model(ids_T, DenseContext([1], torch_ops)), number=5) / 5)
        calls.append(timeit.timeit(lambda: context.tap(module, "q", tensor), number=20000) / 20000)
    forward, call = statistics.median(forwards), statistics.median(calls)
    share = counting.calls * call / forward
    print(f"{counting.calls} taps of {call * 1e9:.0f} ns in a forward of {forward * 1e3:.2f} ms: {share:.2%}")


if __name__ == "__main__":
    main()
