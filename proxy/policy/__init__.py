"""Pure decisions: arguments in, decision out. No await, socket, clock, log or metric."""
