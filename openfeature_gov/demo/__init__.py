"""The demonstration: a support agent on an order store, under governance."""
