"""Support for tests: the contract of every backend, scenarios, golden files, and the adversary.

`eventstore.testing.contract` needs pytest.
"""
