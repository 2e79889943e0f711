"""What the calls of the market cost, for `scripts/bench gas`."""
