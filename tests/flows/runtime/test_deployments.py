"""prefect.yaml against the signatures of the flows: Prefect itself takes a misspelt parameter without a word."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml

from imperv.flows.cli.commands import app

ROOT = Path(__file__).resolve().parents[3]
FILE = yaml.safe_load((ROOT / "prefect.yaml").read_text())


def flow_of(entry):
    """Entrypoints are modules, which are found wherever a worker runs."""
    module, _, name = entry["entrypoint"].rpartition(".")
    return getattr(importlib.import_module(module), name)


DEPLOYMENTS = {f"{flow_of(entry).name}/{entry['name']}": entry for entry in FILE["deployments"]}


def test_every_deployment_that_the_documents_speak_of_is_there():
    assert set(DEPLOYMENTS) == {
        "imperviousness/tile", "superresolution/tile", "landcover/tile", "composites/tile", "change/tile",
        "crops/tile",
        "rerun/rerun", "europe/europe", "yearly-update/yearly-update",
    }  # fmt: skip
    assert importlib.util.find_spec("yaml") is not None


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_parameters_are_those_of_the_flow(name):
    entry = DEPLOYMENTS[name]
    parameters = inspect.signature(flow_of(entry).fn).parameters
    given = entry.get("parameters", {})
    assert set(given) <= set(parameters), f"{set(given) - set(parameters)} are no parameters of {name}"
    needed = {n for n, p in parameters.items() if p.default is inspect.Parameter.empty}
    assert needed <= set(given), f"{needed - set(given)} of {name} are given nothing"
    flow_of(entry).validate_parameters(given)


@pytest.mark.parametrize("path", sorted((ROOT / "deployments").rglob("*.y*ml")), ids=lambda path: path.name)
def test_files_for_other_machines_can_be_read(path):
    assert all(isinstance(document, dict) for document in yaml.safe_load_all(path.read_text()))


def test_the_compose_file_holds_no_password_and_every_service_a_command_of_ours():
    services = yaml.safe_load((ROOT / "deployments/compose.yaml").read_text())["services"]
    assert set(services) == {"database", "server", "deploy", "worker", "parent", "scheduler", "dask-worker", "objects"}
    for name, service in services.items():
        for key, value in (service.get("environment") or {}).items():
            assert "PASSWORD" not in key or value.startswith("${"), f"{name}: {key} is written down"
    for name, pool in (("worker", "tiles"), ("parent", "productions")):
        assert services[name]["command"][:4] == ["imperv", "worker", "--pool", pool]


def test_the_portal_is_behind_a_proxy_that_asks_who_it_is():
    folder = ROOT / "deployments/portal"
    services = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    assert "ports" not in services["portal"] and services["portal"]["command"][:2] == ["imperv", "portal"]
    assert all(str(v).startswith("${") for service in services.values() for v in service["environment"].values())
    # A named volume takes its owner from the image; a folder that Docker makes is root's.
    assert "${PROJECTS:-projects}:/projects" in services["portal"]["volumes"]
    assert "projects" in yaml.safe_load((folder / "compose.yaml").read_text())["volumes"]
    assert "--owner imperv --group imperv /projects" in (ROOT / "deployments/Dockerfile").read_text()
    pod, service, ingress = yaml.safe_load_all((folder / "kubernetes.yaml").read_text())
    portal, proxy = pod["spec"]["template"]["spec"]["containers"]
    assert "--host" not in portal["args"] and pod["spec"]["replicas"] == 1
    assert service["spec"]["ports"][0]["targetPort"] == proxy["ports"][0]["containerPort"] == 8080
    assert ingress["spec"]["rules"][0]["host"] == portal["args"][-1]
    caddy = (folder / "Caddyfile").read_text()
    assert "basic_auth" in caddy and 'Authorization "Bearer {$PORTAL_TOKEN}"' in caddy
    build_parser = typer.main.get_command(app).commands["portal"]
    for command in (services["portal"]["command"], portal["args"]):
        build_parser.make_context(
            "portal", [part.replace("${PORTAL_NAME:?set PORTAL_NAME}", "a.example") for part in command[2:]]
        )


@pytest.mark.slow
def test_logs_of_workers_are_json():
    code = (
        "import logging.config, yaml\n"
        f"logging.config.dictConfig(yaml.safe_load(open({str(ROOT / 'deployments/logging.yml')!r})))\n"
        "logging.getLogger('prefect').warning('%s tiles', 3)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr
    assert json.loads(said.splitlines()[-1])["message"] == "3 tiles"


def test_parents_wait_in_another_pool_than_their_tiles():
    pools = {name: entry["work_pool"]["name"] for name, entry in DEPLOYMENTS.items()}
    assert {name for name, pool in pools.items() if pool == "productions"} == {"europe/europe", "yearly-update/yearly-update"}
    assert set(pools.values()) == {"tiles", "productions"}
    assert all(entry["work_pool"]["job_variables"]["stream_output"] is False for entry in DEPLOYMENTS.values())


def test_the_yearly_update_is_off_until_somebody_turns_it_on():
    (schedule,) = DEPLOYMENTS["yearly-update/yearly-update"]["schedules"]
    assert schedule["timezone"] == "Europe/Copenhagen" and schedule["active"] is False
    assert not any("schedules" in entry for name, entry in DEPLOYMENTS.items() if not name.startswith("yearly-update/"))
