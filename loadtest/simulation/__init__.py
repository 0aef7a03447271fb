"""A fleet of sidecars and pods in simulated time. What decides is Headway's own code, not a model of it."""
