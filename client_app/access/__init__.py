"""Who may start a session: terms, login, limits."""
