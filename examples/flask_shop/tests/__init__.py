"""The tests of the Flask shop."""
