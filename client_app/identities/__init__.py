"""Whose face may be used: revocations, and what is kept about identities."""
