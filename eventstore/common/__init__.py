"""Small helpers that all other modules may use."""
