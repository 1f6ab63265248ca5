"""The price list that plans are made with, and the figures of AWS in it."""
