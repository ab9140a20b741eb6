"""What a run computed, kept and derived: attention rows, logit lens, interventions."""
