"""Headway beside HAProxy, nginx, Envoy and a direct connection, on the same work in one run."""
