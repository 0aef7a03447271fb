"""Puts the sidecar into pods, and takes it out again: `headway inject`, `headway uninject`, the webhook."""
