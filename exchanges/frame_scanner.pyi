from typing_extensions import Buffer

class Scanner:
    def recognises(self, frame: Buffer) -> bool: ...
