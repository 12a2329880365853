"""What was done with whose face, in a log that cannot be edited unnoticed."""
