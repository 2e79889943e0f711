"""The command `grange`.

entry           where it begins, and interrupt Ctrl-C until it has begun
app             the commands put together, with those of other packages (plugins)
commands/       a function for each command
guidance        what to correct, for errors of the chain (`grange.cli` has the words and exit codes)
group           help, and words for a command that there is not
screens/        what a person sees
output          what a program gets
"""
