"""The tests of the FastAPI shop."""
