"""Training from scratch and fine-tuning, to be read."""
