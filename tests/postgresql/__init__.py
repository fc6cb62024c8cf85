"""A PostgreSQL server for tests and benchmarks, which is gone when they are."""
