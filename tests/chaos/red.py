"""A cell that failed, in one sentence."""


class Red(Exception):
    """What did not hold. `orders`: client order ids whose story is worth telling."""

    def __init__(self, text: str, orders: tuple[int, ...] = ()) -> None:
        super().__init__(text)
        self.orders = orders
