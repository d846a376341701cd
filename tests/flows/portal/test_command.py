"""`imperv portal` as a command: what it shows, and bad places, ports and files in one line."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest

from imperv.flows.cli.commands import main
from imperv.flows.portal.serving import address
from imperv.flows.portal.site import open_site
from imperv.tasks.errors import InputError
from tests.support.portal import portal_on


def test_a_store_a_folder_of_products_and_a_production(filled):
    store = filled / "store"
    places = {str(store): 50, str(store / "products"): 18, str(filled): 50, str(filled / "production.toml"): 50}
    for place, least in places.items():
        site = open_site(place, None)
        site.look()
        assert len(site.holdings.layers) >= least and site.holdings.tiles == ("E44N26",) and not site.trouble
        assert (site.production is not None) == (place in (str(filled), str(filled / "production.toml")))
    assert open_site(None, filled / "production.toml").production is not None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["{tmp}/nothing"], "holds neither layers (tiles/) nor delivered GeoTIFFs; name a store"),
     (["{tmp}"], "holds neither layers"), (["{tmp}/none.toml"], "none.toml"), (["--config", "{tmp}/none.toml"], "none.toml"),
     (["{store}", "--config", "{file}"], "not both"), (["{store}", "--host", "no such host"], "no such host"),
     (["{store}", "--port", "70000"], "65535"), (["ftp9://x/y"], "store")],
)  # fmt: skip
def test_bad_requests_are_one_line(filled, tmp_path, capsys, monkeypatch, arguments, said):
    monkeypatch.setenv("IMPERV_PORTAL_TOKEN", "a secret of this test")
    names = {"tmp": tmp_path, "store": filled / "store", "file": filled / "production.toml"}
    assert main(["portal", *(text.format(**names) for text in arguments)]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and "Traceback" not in error


def test_without_a_place_the_production_of_the_folder_is_meant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="production.toml is not here"):
        open_site(None, None)


def test_a_port_that_is_taken_is_told(filled, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["portal", str(filled / "store"), "--port", str(taken.getsockname()[1])]) == 2
    assert "Address already in use; name another --port" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_at_once_and_quietly(filled, number):
    with portal_on(filled / "store") as running:
        running.process.send_signal(number)
        _, err = running.process.communicate(timeout=300)
        assert running.process.returncode == 0 and err == ""


def test_a_store_that_is_empty_yet_is_shown_when_it_fills(filled, tmp_path):
    (tmp_path / "production.toml").write_text((filled / "production.toml").read_text())
    site = open_site(str(tmp_path), None)
    site.look()
    assert site.holdings.layers == {} and site.state["tiles"][0]["state"] == "missing"
    (tmp_path / "store").symlink_to(filled / "store")
    site.look()
    assert len(site.holdings.layers) >= 50


def test_links():
    assert address("127.0.0.1", 80, "a/b") == "http://127.0.0.1:80/#token=a%2Fb" and address("::1", 80) == "http://[::1]:80/"


@pytest.mark.slow
def test_tensorflow_and_the_bindings_are_not_in_the_web_process():
    code = (
        "import sys, imperv.flows.portal.serving, imperv.flows.portal.app, imperv.flows.production.status\n"
        "print(*sorted({'tensorflow', 'keras', 'osgeo', 'matplotlib'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, env=dict(os.environ))
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
