"""Tokens: what a browser or a link carries, and the hash of it that is kept. Pure but for chance."""

import hashlib
import hmac
import secrets


def new_token() -> str:
    """256 bits of chance, fit for an address or a cookie."""
    return secrets.token_urlsafe(32)


def token_hash(token: str, password: str = "") -> bytes:
    """What is kept of a token. With a password it is found again only as long as that is the same."""
    key = hashlib.sha256(password.encode(errors="surrogateescape")).digest()
    return hmac.digest(key, token.encode(errors="surrogateescape"), "sha256")
