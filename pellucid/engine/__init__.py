"""The paged engine: schedule, run, sample, update."""
