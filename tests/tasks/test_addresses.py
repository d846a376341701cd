"""Addresses of files: what signing changes and what it does not, and what people may see of one.

Queries are those of real services as their documentation shows them, with made-up secrets.
"""

from __future__ import annotations

import logging
import pickle

import pytest

from imperv.flows.runtime import logs
from imperv.tasks.addresses import identity, is_signed, shown
from imperv.tasks.errors import InputError, SceneError
from imperv.tasks.store.records import Record

FILE = "https://account.example.com/container/S2A/B02.tif"

SIGNATURES = {
    "Azure, service": "st=2026-01-01T00%3A00%3A00Z&se=2026-01-02T00%3A00%3A00Z&sp=rl&sv=2024-05-04&sr=c&sig={}%3D",
    "Azure, user delegation": "se=2026&sp=r&sv=2025-07-05&sr=b&skoid=a&sktid=b&skt=c&ske=d&sks=b&skv=e&sdd=2&rscc=x&sig={}",
    "AWS, version 4": "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=K%2F2026&X-Amz-Date=2026&X-Amz-Expires=60"
    "&X-Amz-SignedHeaders=host&X-Amz-Signature={}&x-id=GetObject&response-content-disposition=inline",
    "AWS, version 2": "AWSAccessKeyId=K&Signature={}%3D&Expires=1700000000&x-amz-security-token=t",
    "Google, version 4": "X-Goog-Algorithm=GOOG4&X-Goog-Credential=c&X-Goog-Date=d&X-Goog-Expires=9&X-Goog-Signature={}",
    "Google, version 2": "GoogleAccessId=a%40b&Expires=1700000000&Signature={}",
    "CloudFront": "Expires=17&Signature={}~&Key-Pair-Id=K",
    "CloudFront, with a policy": "Policy=eyJ&Signature={}&Key-Pair-Id=K&Hash-Algorithm=SHA1",
    "Alibaba": "OSSAccessKeyId=K&Expires=17&Signature={}",
    "Tencent": "q-sign-algorithm=sha1&q-ak=K&q-sign-time=1;2&q-key-time=1;2&q-header-list=&q-url-param-list=&q-signature={}",
    "Akamai": "hdnts=exp=17~acl=/*~hmac={}",
    "nginx": "md5={}&expires=17",
    "a token": "token={}",
    "a key": "subscription-key={}",
    "a token with another name": "access_token={}",
}


@pytest.mark.parametrize("service", SIGNATURES)
def test_signing_anew_makes_no_other_file(service):
    once, again = (f"{FILE}?{SIGNATURES[service].format(secret)}" for secret in ("aaaa", "bbbb"))
    assert identity(once) == identity(again) == FILE
    assert is_signed(once) and not is_signed(FILE)
    # What chooses the file stays, wherever it stands.
    assert identity(once.replace("?", "?id=7&")) == identity(f"{again}&id=7") == f"{FILE}?id=7"


@pytest.mark.parametrize(
    "href",
    [
        "/data/a?b/B02.tif",
        "/data/B02.tif?sig=1",
        "s3://bucket/B02.tif",
        FILE,
        f"{FILE}?id=7",
        f"{FILE}?versionId=3",
        f"{FILE}?snapshot=2026",
        f"{FILE}?st=B02&sr=3035&e=1",  # no signature: they may mean anything
        f"{FILE}?key=S2A/B02.tif&policy=none",
        f"{FILE}?design=1&signal=2",
        f"{FILE}?",
    ],
)
def test_what_chooses_the_file_is_identity(href):
    assert identity(href) == href and not is_signed(href)


def test_azures_short_names_are_a_signature_beside_one_only():
    assert identity(f"{FILE}?sr=3035&token=x") == f"{FILE}?sr=3035"
    assert identity(f"{FILE}?sr=c&sig=x") == FILE
    assert identity(f"/vsicurl/{FILE}?sig=x") == f"/vsicurl/{FILE}"


@pytest.mark.parametrize("service", SIGNATURES)
@pytest.mark.parametrize("sentence", ["{} cannot be read (HTTP 403)", "asked for {}; then", "({})", "'{}'", '["{}", 1]', "{}."])
def test_nobody_sees_a_query(service, sentence):
    href = f"{FILE}?{SIGNATURES[service].format('S3cr3T')}"
    assert shown(sentence.format(href)) == sentence.format(FILE)


def test_nobody_sees_a_password():
    assert shown("https://me:pass@host/a.tif and s3://b/k?versionId=1") == "https://host/a.tif and s3://b/k"
    assert shown("what? nothing: /a/b?c") == "what? nothing: /a/b?c"


def test_errors_records_and_logs_show_no_query(caplog):
    href = f"{FILE}?sig=S3cr3T"
    error = SceneError("s1", f"{href} cannot be read")
    assert (error.scene, error.reason) == ("s1", f"{FILE} cannot be read") and str(InputError(href)) == FILE
    assert pickle.loads(pickle.dumps(error)).reason == error.reason
    record = Record(
        "CLCP_then", "E38N31", "k", statistics={"source": href, "parts": [{href: 1}]}, warnings=(f"{href} ends",), reason=href,
        ingredients={"files": {"B02.tif?id=7": 1}}, start="2018-01-01", end="2018-12-31",
    )  # fmt: skip
    assert "S3cr3T" not in record.to_json() and record.warnings == (f"{FILE} ends",) and record.reason == FILE
    assert record.ingredients == Record.from_json(record.to_json()).ingredients == {"files": {"B02.tif?id=7": 1}}
    before = logging.getLogRecordFactory()
    try:
        logs.configure()
        logging.getLogger("rasterio._env").warning("GDAL: %s in %s", 403, href)
    finally:
        logging.setLogRecordFactory(before)
    assert caplog.messages == [f"GDAL: 403 in {FILE}"]
