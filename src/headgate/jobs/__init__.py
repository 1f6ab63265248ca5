"""What works on a lake beside the flow: verify, rebuild, status, query."""
