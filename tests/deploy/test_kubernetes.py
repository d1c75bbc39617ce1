"""The manifests for Kubernetes against its published schemas, the image, the settings and each other."""

import ipaddress
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml  # type: ignore[import-untyped]

from runflow_mcp import __version__
from runflow_mcp.observability.definitions import BY_NAME
from runflow_mcp.settings.config import Config
from runflow_mcp.settings.warnings import setting_warnings
from runflow_mcp.web.health import HEALTHZ, READYZ
from runflow_mcp.workers.parent import DRAIN_MARGIN
from tests.deploy.deploy_files import DEPLOY, ROOT, size

FOLDER = DEPLOY / "kubernetes"
MANIFESTS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(FOLDER.glob("*.yaml"))}
#: The oldest version that is named here, and all after it that the package knows.
VERSIONS = [f"1.{minor}" for minor in range(29, int(kubernetes_validate.latest_version().split(".")[1]) + 1)]
LABELS = {"app.kubernetes.io/name": "runflow-mcp"}
KINDS = {
    "settings": "ConfigMap",
    "deployment": "Deployment",
    "service": "Service",
    "autoscaler": "HorizontalPodAutoscaler",
    "disruption-budget": "PodDisruptionBudget",
    "network-policy": "NetworkPolicy",
}


@pytest.fixture
def pod() -> Any:
    return MANIFESTS["deployment"]["spec"]["template"]["spec"]


@pytest.fixture
def container(pod: Any) -> Any:
    [only] = pod["containers"]
    return only


@pytest.fixture
def config() -> Config:
    """The settings of a pod: those of the image, and the map's."""
    image = (DEPLOY / "docker" / "Dockerfile").read_text()
    assert "MCP_HOST=0.0.0.0" in image
    return Config.from_mapping({"MCP_HOST": "0.0.0.0", **MANIFESTS["settings"]["data"]})  # noqa: S104 - in a container


def test_there_is_one_manifest_of_each_kind() -> None:
    assert {name: manifest["kind"] for name, manifest in MANIFESTS.items()} == KINDS


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", KINDS)
def test_a_manifest_conforms_to_the_schema_of_every_version(name: str, version: str) -> None:
    kubernetes_validate.validate(MANIFESTS[name], version, strict=True)


def test_the_schemas_reject_what_is_wrong() -> None:
    wrong = {**MANIFESTS["service"], "spec": {**MANIFESTS["service"]["spec"], "prots": []}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_every_selector_names_the_pods_of_the_deployment() -> None:
    spec = MANIFESTS["deployment"]["spec"]
    assert spec["template"]["metadata"]["labels"] == LABELS
    assert spec["selector"]["matchLabels"] == LABELS
    assert spec["template"]["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"] == LABELS
    assert MANIFESTS["service"]["spec"]["selector"] == LABELS
    assert MANIFESTS["disruption-budget"]["spec"]["selector"]["matchLabels"] == LABELS
    assert MANIFESTS["network-policy"]["spec"]["podSelector"]["matchLabels"] == LABELS


def test_the_settings_are_valid_and_none_is_questionable(container: Any, config: Config) -> None:
    assert container["envFrom"] == [{"configMapRef": {"name": MANIFESTS["settings"]["metadata"]["name"]}}]
    assert setting_warnings(config) == []
    assert config.workers == 1


def test_ports_and_probes_are_those_of_the_server(container: Any, config: Config) -> None:
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": config.port, "metrics": config.metrics_port}
    probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    assert probes == {
        "startup": {"path": HEALTHZ, "port": "http"},
        "readiness": {"path": READYZ, "port": "http"},
        "liveness": {"path": HEALTHZ, "port": "http"},
    }
    assert MANIFESTS["service"]["spec"]["ports"][0]["targetPort"] == "http"
    annotations = MANIFESTS["deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(config.metrics_port)


def test_the_grace_period_fits_the_drain(pod: Any, container: Any, config: Config) -> None:
    command, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep"
    assert pod["terminationGracePeriodSeconds"] >= int(seconds) + config.shutdown_grace + DRAIN_MARGIN
    # By then the readiness probe has failed, if something else stops the server.
    readiness = container["readinessProbe"]
    assert int(seconds) > readiness["periodSeconds"] * readiness["failureThreshold"]


def test_a_pod_has_the_fewest_privileges(pod: Any, container: Any) -> None:
    image_user = (DEPLOY / "docker" / "Dockerfile").read_text().rpartition("USER ")[2].split()[0]
    security = pod["securityContext"]
    assert security["runAsNonRoot"] is True
    assert f"{security['runAsUser']}:{security['runAsGroup']}" == image_user
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert "volumes" not in pod


def test_an_update_and_a_drained_node_never_take_the_last_pod() -> None:
    assert MANIFESTS["deployment"]["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert MANIFESTS["disruption-budget"]["spec"]["maxUnavailable"] == 1
    assert MANIFESTS["autoscaler"]["spec"]["minReplicas"] >= 2
    # Else each apply would set the number of pods back.
    assert "replicas" not in MANIFESTS["deployment"]["spec"]


def test_the_pods_are_scaled_by_a_metric_that_exists(config: Config) -> None:
    spec = MANIFESTS["autoscaler"]["spec"]
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "runflow-mcp"}
    [waits] = [metric["pods"] for metric in spec["metrics"] if metric["type"] == "Pods"]
    assert waits["metric"]["name"] in BY_NAME
    assert int(waits["target"]["averageValue"]) <= config.max_waits / 2
    assert spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] > config.poll_timeout


def test_the_resources_are_those_of_the_other_deployments(container: Any) -> None:
    resources = container["resources"]
    assert size(resources["limits"]["memory"].removesuffix("i")) == 2**30
    assert size(resources["requests"]["memory"].removesuffix("i")) >= 206 * 2**20
    assert "cpu" not in resources["limits"]


def test_only_the_ingress_and_prometheus_reach_a_pod_and_it_reaches_no_private_network_else() -> None:
    spec = MANIFESTS["network-policy"]["spec"]
    assert [rule["ports"] for rule in spec["ingress"]] == [[{"port": "http"}], [{"port": "metrics"}]]
    assert all(rule["from"] for rule in spec["ingress"])
    blocks = [block["ipBlock"] for rule in spec["egress"] for block in rule["to"] if "ipBlock" in block]
    assert {ipaddress.ip_network(block["cidr"]).version for block in blocks} == {4, 6}
    excepted = [ipaddress.ip_network(each) for block in blocks for each in block["except"]]
    for address in ("10.0.0.1", "172.20.0.1", "192.168.1.1", "169.254.169.254", "fd00::1"):
        host = ipaddress.ip_address(address)
        assert any(host.version == network.version and host in network for network in excepted), address


def test_the_image_has_the_version_of_the_package(container: Any) -> None:
    assert container["image"].endswith(f"/runflow-mcp:{__version__}")
    assert "deploy/docker/Dockerfile" in (FOLDER / "deployment.yaml").read_text()
    assert (ROOT / "deploy" / "docker" / "Dockerfile").is_file()
