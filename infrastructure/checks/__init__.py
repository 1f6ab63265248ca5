"""What can be proven about the infrastructure without an account; `infrastructure/check.py` runs it."""
