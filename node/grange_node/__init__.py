"""The farmer node: keeps pieces, proves them on chain, and is paid."""
