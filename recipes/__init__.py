"""Short scripts, one trained model each."""
