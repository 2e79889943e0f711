"""`python -m grange_client` is the command `grange`."""

from grange_client.cli.entry import main

main()
