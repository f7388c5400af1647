"""People: HTTP, sessions, limits, tokens, settings. The only reader of the environment."""
