"""Slow loops that change the picture: discovery and health checks. They may fail without stopping traffic."""
