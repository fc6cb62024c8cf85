"""Integrations, each with an extra of its own."""
