"""Looking into a drive: what is in a commit, what changed, what was there when. Nothing here writes."""
