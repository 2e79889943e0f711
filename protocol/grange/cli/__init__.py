"""What every command of Grange does alike: exit codes, words for errors, questions, keys, and where the
market is.

exit_codes   what a command exits with; the one table from an error's category to a code
presenter    what happened, what it means, what to do: on standard error, and as JSON for --json
chain_words  the words for errors of the chain
fees         what gas costs, as money where a price is given; `grange farm fees` and the like
list_words   what is said of allow and deny lists
confirm      asking before something is paid or given up
passphrase_options  --passphrase-file, --passphrase-fd, --no-encryption
network_options  --network, or --rpc and --market
market       `grange market`; market_costs: what gas comes to in a month; market_account: who deploys, and
             gives members money
parameter_words  a sentence about a market's parameters

Importing one of them loads nothing that takes time: the command has to begin at once.
"""
