"""What farmers and renters must agree on: trees, codes, seals, messages, and the chain gateway."""
