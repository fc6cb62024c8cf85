"""Integrations with web frameworks, each with an extra of its own."""
