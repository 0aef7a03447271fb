"""One connection from accept to close. Never waits for the control path."""
