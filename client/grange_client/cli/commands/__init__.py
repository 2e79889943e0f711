"""What a renter types, a function each; typer reads the options off their parameters.

commands   `init`                                    init.py
           `put`, `get`                              files.py; the work of these: backup.py and
                                                     restoring.py; with how many farmers and how long:
                                                     store_options.py; how fast: transfer_options.py
           `ls`, `find`, `du`, `cat`                 look.py
           `drives`                                  drives.py
           `log`, `diff`, `snapshots`                history.py
           `mv`, `rm`, `restore`                     edits.py
           `tag`                                     tags.py
           `keep`                                    keep.py
           `policy`                                  policy.py
           `alerts`                                  alerts.py
           `farmers`                                 farmers.py
           `balance`, `deposit`, `withdraw`          money.py
           `fees`                                    fees.py
           `keys`                                    keys.py; `keys wallet-calls`: wallet_calls.py
           `mandate`                                 mandate.py
           `orders`                                  orders.py; of these
             `put`, `get`                            order_transfer.py
             `ls`, `stat`, `health`                  overview.py
             `extend`, `close`                       terms.py
           `import`                                  import_order.py
           what they have in common                  common.py; of those on a drive: open_drive.py,
                                                     spending.py, store_terms.py;
                                                     what a shell completes: completion.py;
                                                     of those that look: looking.py,
                                                     that edit: editing.py
"""
