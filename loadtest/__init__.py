"""Measurements: what Headway costs, on the machine at hand. Nothing here is a test."""
