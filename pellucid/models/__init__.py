"""The four bodies, the families that map published checkpoints onto them, and loading."""
