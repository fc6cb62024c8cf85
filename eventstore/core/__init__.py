"""The store's inner parts: where statements run, appends, reads, the global order."""
