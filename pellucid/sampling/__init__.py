"""From logits to one token: parameters, the vectorised sampler, stop conditions."""
