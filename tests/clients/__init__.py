"""The real clients: their locked environments, and the programs that run inside them."""
