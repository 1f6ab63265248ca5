"""Bytes out: storage, encodings, the ledger (the commit) and publication."""
