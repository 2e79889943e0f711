"""How catalogs of earlier versions become ones of this: some names can be read nowhere else.

Decides the version of a catalog. Until version 3 it had what farmers did as well, which is in `reputations`
now; until version 4 it had orders as they were placed, without the events that they follow from; until
version 5 it did not know what farmers may ask for reading, until version 6 which key placed an order, until
version 7 whom the account has authorized, until version 8 which mandates it gave, and until version 9 which
orders are packs of drives. These are read from the chain once more.
"""

from typing import Final

from grange.chain.order_tables import SCHEMA

CATALOG_VERSION: Final = 10
CONTENTS: Final = (
    "CREATE TABLE IF NOT EXISTS contents (sealed_as BLOB PRIMARY KEY, name TEXT, created INTEGER,"
    " files INTEGER, size_bytes INTEGER, manifest BLOB)"
)
SENDERS: Final = (
    "CREATE TABLE IF NOT EXISTS senders (sealed_as BLOB PRIMARY KEY, sender TEXT NOT NULL) WITHOUT ROWID"
)
DELEGATES: Final = "CREATE TABLE IF NOT EXISTS delegates (address TEXT PRIMARY KEY) WITHOUT ROWID"
MANDATES: Final = "CREATE TABLE IF NOT EXISTS mandates (number INTEGER PRIMARY KEY)"
PACKS: Final = (
    "CREATE TABLE IF NOT EXISTS packs (sealed_as BLOB, drive INTEGER, is_of INTEGER NOT NULL,"
    " PRIMARY KEY (sealed_as, drive)) WITHOUT ROWID"
)
UPGRADES: Final = {
    "3": (
        "DROP TABLE IF EXISTS farmers",
        "ALTER TABLE orders ADD COLUMN missing INTEGER NOT NULL DEFAULT 0",
    ),
    "4": (
        *(f"ALTER TABLE {table} RENAME TO old_{table}" for table in ("slots", "closings", "orders")),
        *SCHEMA.split(";")[:-1],
        "INSERT INTO orders SELECT id, :renter, old_orders.block, start, end, k, n, leaf_count, piece_leaves,"
        " previous, origin, old_closings.block, refund, compensation, missing"
        " FROM old_orders LEFT JOIN old_closings ON order_id = id",
        "INSERT INTO slots SELECT order_id, slot, farmer, root, rate, '0', start, 0"
        " FROM old_slots JOIN old_orders ON id = order_id",
        CONTENTS,
        "INSERT OR IGNORE INTO contents"
        " SELECT CASE origin WHEN x'' THEN id ELSE origin END, name, created, files, size_bytes, manifest"
        " FROM old_orders WHERE name IS NOT NULL",
        *(f"DROP TABLE old_{table}" for table in ("slots", "closings", "orders")),
        "DELETE FROM about WHERE key = 'cursor'",
    ),
    "5": (
        *(f"DROP INDEX IF EXISTS {index}" for index in ("slots_of_farmers", "lost_slots")),
        "ALTER TABLE slots RENAME TO old_slots",
        *SCHEMA.split(";")[:-1],
        "INSERT INTO slots SELECT order_id, slot, farmer, root, rate, '0', start, is_lost FROM old_slots",
        "DROP TABLE old_slots",
        "DELETE FROM order_events",
        "DELETE FROM about WHERE key = 'cursor'",
    ),
    "6": (SENDERS,),
    "7": (DELEGATES,),
    "8": (MANDATES,),
    "9": (PACKS,),
}
"""By the version that is left behind, the oldest first: statements. `:renter` is whose catalog it is."""
