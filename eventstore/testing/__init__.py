"""For tests: the contract that every backend shows, scenarios, golden files, and the adversary.

`eventstore.testing.contract` needs pytest.
"""
