"""The command `grange`.

entry           where it begins, and loading what holds while modules load
app             the commands put together, with those of other packages (plugins)
commands/       a function for each command
guidance        what to correct, for errors of the chain (`grange.cli` has the words and exit codes)
group           help, and words for a command that there is not
screens/        what a person sees
output          what a program gets
"""
