"""From logits to one token: parameters, the vectorised sampler, stop conditions.

Import from the modules (`pellucid.sampling.params` and so on): parameters and stop conditions then need no
torch.
"""
