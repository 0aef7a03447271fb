"""What the proxy tells about itself: counters and log lines."""
