"""Facts about the flow; log lines and metrics are made from them."""
