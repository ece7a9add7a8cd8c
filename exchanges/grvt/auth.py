"""Order signing for GRVT: EIP-712 digests signed with secp256k1.

The rule: what is signed are integers in the venue's own units, and every byte that does not change from order to order
is laid down before: per order three words of a leg and two of the order are filled in, four short keccaks run and one
deterministic signature (RFC 6979, low s) is made. Only creates are signed; cancels and queries need the session alone.

A signer's key is another secret than the API key: the API key opens the session (session.py), the signer's key signs.

Source: the typed data of the venue's SDK, see typed_data.py; fields: api-docs.grvt.io, "Create Order".

Who calls it: order_codec.py, one `RequestSigner` per engine.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from coincurve import PrivateKey

from exchanges.adapter import ConfigurationError, Credentials
from exchanges.grvt.typed_data import LEG_TYPEHASH, ORDER_TYPEHASH, envelope, keccak, word, words

V_OFFSET: Final = 27
NONCES: Final = 1 << 32
"""A nonce is any uint32."""
ENGINE_NONCES: Final = 3 << 30
"""Those below are the engine's, counted (nonces.py); the others are for closing orders of the emergency access, drawn
at random. So the two can never meet, whoever of them is alive."""
_WORD_OF_BOOL: Final = (word(0), word(1))


class Signature(NamedTuple):
    """r and s as the venue wants them: 0x and 64 digits, leading zeros kept."""

    r: str
    s: str
    v: int


def address_of(key: PrivateKey) -> str:
    """The key's address in lower case, as the venue echoes it."""
    return "0x" + keccak(key.public_key.format(compressed=False)[1:])[12:].hex()


def make_signer(secret: str) -> PrivateKey:
    """The signer key of `secret`: 64 hex digits, with or without 0x. Raises ConfigurationError, never showing it."""
    digits = secret.strip().removeprefix("0x")
    if not digits:
        raise ConfigurationError("grvt: the secret is empty")
    try:
        raw = bytes.fromhex(digits)
        if len(raw) != 32:
            raise ValueError
        return PrivateKey(raw)
    except ValueError:
        raise ConfigurationError(
            "grvt: the secret must be the signer's private key, 64 hex digits within the order of secp256k1"
        ) from None


class RequestSigner:
    """Signs orders of one sub account. Holds the key in no readable form, and has no repr that shows it."""

    __slots__ = ("_envelope", "_heads", "_key", "_sub_account", "address", "chain_id")

    def __init__(self, credentials: Credentials, chain_id: int, sub_account_id: int) -> None:
        """Raises ConfigurationError for a secret that is not a key."""
        self._key = make_signer(credentials.secret)
        self.address = address_of(self._key)
        """Goes into `signature.signer`."""
        self.chain_id = chain_id
        self._envelope = envelope(chain_id)
        self._sub_account = word(sub_account_id)
        self._heads: dict[tuple[bool, int, bool, bool], bytes] = {}

    def sign_order(
        self,
        asset: bytes,
        contract_size: int,
        limit_price: int,
        buying: bool,
        *,
        market: bool,
        time_in_force: int,
        post_only: bool,
        reduce_only: bool,
        nonce: int,
        expiration_ns: int,
    ) -> Signature:
        """One leg, no builder.

        asset: `asset_word` of the instrument; contract_size in 10^-base_decimals, limit_price in 10^-9 (0 for a market
        order), time_in_force the code of typed_data, expiration_ns UTC."""
        kind = (market, time_in_force, post_only, reduce_only)
        head = self._heads.get(kind)
        if head is None:
            head = self._heads[kind] = ORDER_TYPEHASH + self._sub_account + words(kind)
        leg = keccak(
            asset + contract_size.to_bytes(32, "big") + limit_price.to_bytes(32, "big") + _WORD_OF_BOOL[buying]
        )
        order = keccak(head + keccak(leg) + nonce.to_bytes(32, "big") + expiration_ns.to_bytes(32, "big"))
        return self.sign_digest(keccak(self._envelope + order))

    def sign_digest(self, digest: bytes) -> Signature:
        raw = self._key.sign_recoverable(digest, hasher=None)
        return Signature("0x" + raw[:32].hex(), "0x" + raw[32:64].hex(), V_OFFSET + raw[64])


def asset_word(instrument_hash: str) -> bytes:
    """What stands for an instrument in `sign_order`, from its `instrument_hash`. Raises ValueError."""
    return LEG_TYPEHASH + word(int(instrument_hash, 16))
