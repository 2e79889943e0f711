"""`python -m grange_client` is the command `grange`."""

from grange_client.entry import main

main()
