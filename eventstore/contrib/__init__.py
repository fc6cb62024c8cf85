"""Integrations, each with a separate extra."""
