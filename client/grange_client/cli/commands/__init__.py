"""What a renter types, a function each; typer reads the options off their parameters.

commands   `init`                                    init.py
           `put`, `get`                              files.py; into a drive: backup.py, out of one:
                                                     restoring.py;
                                                     how fast: transfer_options.py
           `import`                                  import_order.py
           `ls`, `stat`, `health`                    overview.py
           `drives`                                  drives.py
           `keep`                                    keep.py
           `policy`                                  policy.py
           `alerts`                                  alerts.py
           `ls` of a drive, `find`, `du`, `cat`      look.py
           `log`, `diff`, `snapshots`                history.py
           `mv`, `rm`, `restore`                     edits.py
           `tag`                                     tags.py
           `farmers`                                 farmers.py
           `extend`, `close`                         terms.py
           `balance`, `deposit`, `withdraw`          money.py
           `fees`                                    fees.py
           `keys delegate`                           keys.py; `keys wallet-calls`: wallet_calls.py
           `mandate`                                 mandate.py
           what they have in common                  common.py; of those on a drive: open_drive.py,
                                                     spending.py, store_terms.py;
                                                     of those that look: looking.py,
                                                     that edit: editing.py
"""
