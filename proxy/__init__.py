"""Headway: a sidecar that balances an application's connections over the pods of a headless Service."""

__version__ = "0.1.0"
