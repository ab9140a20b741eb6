"""The KV cache in blocks: which are free, which hold which tokens, and the tensors."""
