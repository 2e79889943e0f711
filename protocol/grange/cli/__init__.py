"""What every command of Grange does alike: exit codes, words for errors, questions, and `--rpc`.

exit_codes   what a command exits with; the one table from an error's category to a code
presenter    what happened, what it means, what to do: on standard error, and as JSON for --json
chain_words  the words for errors of the chain
confirm      asking before something is paid or given up
rpc_options  --rpc, once or several times

Importing one of them loads nothing that takes time: the command has to begin at once.
"""
