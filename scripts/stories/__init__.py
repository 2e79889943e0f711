"""Stories that a person can watch: the real devnet, farmers and client, played from beginning to end."""
