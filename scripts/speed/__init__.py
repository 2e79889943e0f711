"""What `scripts/bench small` and `scripts/bench scale` measure, a module for each thing."""
