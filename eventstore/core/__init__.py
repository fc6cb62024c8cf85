"""The store's inner parts: the execution of statements, appends, reads, the global order."""
