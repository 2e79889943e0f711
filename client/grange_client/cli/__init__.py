"""The command `grange`.

entry           where it begins, and loading what holds while modules load
app             the commands put together, with those of other packages (plugins)
commands/       a function for each command
guidance        what to correct, for errors of the chain (`grange.cli` has the words and exit codes)
group           help, and what to say of a command that does not exist
card_source     a recovery card that is given to a command
upload_rate      how fast content goes to farmers on this line, so far
drive_path      a place in a drive, as it is typed
screens/        what a person sees
output          what a program gets; drive_output: of storing in drives; view_output: of
                looking at them and editing them
"""
