"""How quick the event store is, beside the limit of the database and beside what else there is.

`python -m benchmarks` runs them; `python -m benchmarks --help` says what can be chosen. Nothing here is part of the
package, and nothing here is a test.
"""
