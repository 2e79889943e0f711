"""What the farmer answers to: `data` moves bytes, `slots` makes agreements, `info` introduces itself."""
