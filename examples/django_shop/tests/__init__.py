"""The shop's own tests. All ways to write them are shown: TestCase, TransactionTestCase, and pytest-django."""
