"""Snapshots and recordings that leave the page: signed with C2PA, and read back at `/verify`."""
