"""Where records come from: one adapter of the Source port a file."""
