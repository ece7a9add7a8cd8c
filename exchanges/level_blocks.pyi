"""Nothing of it is seen from Python; see order_book.pyi."""
