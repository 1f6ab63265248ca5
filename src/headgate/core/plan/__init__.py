"""What a volume of events needs, costs and cannot have: arithmetic on figures that are measured or priced elsewhere."""
