"""The record classes: one per dtype of `layout.py`, with an attribute per field.

`OrderRequest().price = 1` writes the eight bytes where `layout.ORDER_REQUEST` says. Names for type checkers stand in
the generated `records.pyi`, C structs of the same bytes in the generated `records.pxd`.
"""

from __future__ import annotations

from shm import layout
from shm.codegen import class_name
from shm.record import Record, make_record_class

RECORD_CLASSES: dict[int, type[Record]] = {
    int(kind): make_record_class(class_name(kind.name), int(kind), dtype)
    for kind, dtype in layout.RECORD_DTYPES.items()
}
globals().update({cls.__name__: cls for cls in RECORD_CLASSES.values()})
__all__ = ["RECORD_CLASSES", "Record", *(cls.__name__ for cls in RECORD_CLASSES.values())]  # pyright: ignore
