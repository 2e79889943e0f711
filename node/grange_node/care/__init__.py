"""Our own pieces rebuilt from those of the other farmers: for `self_repair`."""
