"""Addresses of files on servers: what of one says which file it is, and what of one may be shown.

Signed addresses carry leave to read for a while, in their query: it is renewed without the file being another one. It stands in
the frozen list of scenes and nowhere else.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

USER = re.compile(r"\b([a-z][a-z0-9+]*://)[^\s/@]+@", re.IGNORECASE)
"""Name and password in an address."""

QUERY = re.compile(r"\b([a-z][a-z0-9+]*://[^\s?#\"'<>]+)[?#]([^\s\"'<>]*[^\s\"'<>.:;,)])?", re.IGNORECASE)
"""Query and fragment of an address; signs at the end are those of the sentence around it."""

LEAVE = re.compile(
    r"x-(amz|goog|oss|cos|obs|ms)-.*|q-(sign-algorithm|ak|signature|sign-time|key-time|header-list|url-param-list)"
    r"|awsaccesskeyid|googleaccessid|ossaccesskeyid|key-pair-id|sig|sign|signature|expires|sas"
    r"|(access_?|auth_?|security_?|session_?|id_?|sas_?|__)?token_*|(api|subscription)[-_]?key|ocp-apim-subscription-key"
    r"|authorization|auth|hmac|hdn(ts|ea|tl)|__gda__",
    re.IGNORECASE,
)
"""Parameters of a query that are leave to read, and never choose what is read: presigned requests of S3 (versions 2 and 4),
Google, Alibaba, Tencent and Huawei, Azure's shared access signatures, CloudFront, Akamai, tokens and keys of other servers."""

BESIDE_LEAVE = re.compile(r"policy|hash-algorithm|md5|exp|expiry|e|verify|x-id|response-(content|cache|expires).*", re.IGNORECASE)
"""Parameters that belong to a signature where there is one, and may choose what is read where there is none."""

BESIDE_SIG = re.compile(
    r"s[eiprsv]|st|ses|spr|sip|srt|sdd|sk(oid|tid|t|e|s|v)|s(ao|u|c)oid|scid|rsc[cdelt]|[es][pr]k|tn", re.IGNORECASE
)
"""The same beside Azure's ``sig``."""


def identity(href: str) -> str:
    """An address without leave to read, the same whoever signed it; other parameters, such as ``?versionId=3``, stay."""
    address, mark, query = href.partition("?")
    if not mark or "://" not in address:
        return href
    parts = query.split("&")
    names = [unquote_plus(part.partition("=")[0]) for part in parts]
    if not any(map(LEAVE.fullmatch, names)):
        return href
    signature = (LEAVE, BESIDE_LEAVE, *((BESIDE_SIG,) if "sig" in names else ()))
    kept = [part for part, name in zip(parts, names, strict=True) if not any(rule.fullmatch(name) for rule in signature)]
    return f"{address}?{'&'.join(kept)}" if kept else address


def is_signed(href: str) -> bool:
    """True for an address with leave to read in its query, which may run out."""
    return identity(href) != href


def shown(text: str) -> str:
    """Text with addresses as people may see them: without user, query and fragment."""
    return QUERY.sub(r"\1", USER.sub(r"\1", text)) if "://" in text else text
