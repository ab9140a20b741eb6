"""What each row may be drawn from, as probabilities: for tests to compare with."""

from pellucid.sampling.distribution import filtered_weights
from pellucid.sampling.edits import edit


def distribution(logits_RV, states):
    """After edits, temperature and filters: `[R, V]` in float32."""
    weights_RV = filtered_weights(edit(logits_RV, states).float(), states)
    return weights_RV / weights_RV.sum(-1, keepdim=True)
