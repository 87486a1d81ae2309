"""The forms it is shipped in: systemd's unit, the Debian package, the image, the chart."""
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

import netns
from load import Load
from netns import TOP
from pod import Pod
from sluiced import BUILD
from standard import NO_CHECK, group, listener
from wire import TlsConnection, client_context, patience, until

DEPLOY = TOP / "deploy"
UNIT = DEPLOY / "systemd/sluice.service"
CHART = DEPLOY / "helm/sluice"
EXPOSURE = 3.5
SIX = {"BPF", "NET_ADMIN", "PERFMON", "NET_RAW", "NET_BIND_SERVICE", "IPC_LOCK"}


def run(*command, check=True, timeout=60, **more):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=patience(timeout), **more)
    if check:
        assert done.returncode == 0, f"{command}: {done.returncode}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done


# --- systemd

@pytest.fixture(scope="module")
def unit(tmp_path_factory):
    """The unit with the programs that were built."""
    folder = tmp_path_factory.mktemp("unit")
    text = UNIT.read_text().replace("/usr/sbin/sluiced", str(BUILD / "sluiced"))
    (folder / "sluice.service").write_text(text)
    return folder / "sluice.service"


def test_unit_is_understood(unit):
    """Every line is known to systemd and says what it takes."""
    done = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit)
    said = [line for line in done.stderr.splitlines() if "sluice" in line]
    assert not said, said


def test_unit_is_hardened(unit):
    done = run("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE * 10:.0f}", "--no-pager", unit)
    exposure = float(re.search(r"exposure level for sluice.service: ([\d.]+)", done.stdout + done.stderr)[1])
    assert exposure <= EXPOSURE, done.stdout


def test_unit_has_the_capabilities_and_no_more():
    lines = UNIT.read_text().splitlines()
    for name in ("AmbientCapabilities", "CapabilityBoundingSet"):
        words = [line.split("=", 1)[1] for line in lines if line.startswith(name)]
        assert len(words) == 1 and {w.removeprefix("CAP_") for w in words[0].split()} == SIX, words


def test_unit_allows_the_calls(unit):
    """What the daemon's own filter lets workers do, and what a start takes, is not refused by systemd's."""
    named = re.search(r"^SystemCallFilter=(.*)$", UNIT.read_text(), re.M)[1].split()
    allowed = {word for word in named if not word.startswith("@")}
    for word in named:
        if word.startswith("@"):
            allowed |= expand(word)
    text = (TOP / "userspace/core/confine_calls.def").read_text()
    wanted = set(re.findall(r"^(?:WORKER|START)\((\w+)\)", text, re.M)) | {"seccomp", "memfd_create", "socket", "prctl"}
    never = set(re.findall(r"^NEVER\((\w+)\)", text, re.M))
    assert wanted - allowed - {"fork", "vfork", "time"} <= {"pidfd_getfd"}, wanted - allowed
    assert not wanted & never


def expand(group_name, seen=()):
    found = set()
    for line in run("systemd-analyze", "syscall-filter", group_name).stdout.splitlines()[1:]:
        word = line.split("#")[0].strip()
        if word.startswith("@") and word not in seen:
            found |= expand(word, (*seen, group_name))
        elif word and not word.startswith("@"):
            found.add(word)
    return found


# --- the Debian package

ROOT_SCRIPT = """
set -eu
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
cp "$2" "$1/upper/sluice.deb"
mount -t overlay overlay -o lowerdir=/,upperdir="$1/upper",workdir="$1/work" "$1/root"
mount -t proc proc "$1/root/proc"
mount -t tmpfs tmpfs "$1/root/run"
exec chroot "$1/root" sh -euc "$3"
"""
LIFE = r"""
cd /
dpkg -i sluice.deb >log 2>&1 || { cat log; exit 1; }
dpkg-query -W -f 'state ${Status}\n' sluice
getent passwd sluice
stat -c '%U:%G %a %n' /etc/sluice /etc/sluice/sluice.yaml
echo "check $(/usr/sbin/sluiced --check /etc/sluice/sluice.yaml)"
setpriv --reuid=sluice --regid=sluice --clear-groups cat /etc/sluice/sluice.yaml >/dev/null && echo readable
ls /usr/share/bash-completion/completions/sluicectl /usr/share/zsh/vendor-completions/_sluicectl
ls /usr/lib/systemd/system/sluice.service /usr/share/man/man8/sluiced.8.gz /usr/share/man/man5/sluice.yaml.5.gz
find /etc/systemd -name '*sluice*' | sed 's/^/enabled /'
dpkg -V sluice | grep -v /usr/share/doc/ | sed 's/^/differs /'
echo '# mine' >>/etc/sluice/sluice.yaml
dpkg -i sluice.deb >log 2>&1 </dev/null || { cat log; exit 1; }
tail -1 /etc/sluice/sluice.yaml
mkdir -p /var/lib/sluice/objects /var/log/sluice /etc/systemd/system/multi-user.target.wants
ln -s /usr/lib/systemd/system/sluice.service /etc/systemd/system/multi-user.target.wants/
dpkg -r sluice >log 2>&1 || { cat log; exit 1; }
ls /etc/sluice/sluice.yaml && test ! -e /usr/sbin/sluiced
dpkg -P sluice >log 2>&1 || { cat log; exit 1; }
find /etc/systemd /etc/sluice /var/lib/sluice /var/log/sluice /usr/lib/systemd /usr/share -path '*sluice*' 2>/dev/null | sed 's/^/left /'
"""


def test_versions_of_packages():
    """Each sorts behind those that were made before it; a commit that begins with a digit is no release."""
    tags = ["743e013", "v1.0-rc1", "1.0", "1.0-2-gabc1234", "1.1"]
    versions = [run(TOP / "tools/deb", "--version", env=os.environ | {"VERSION": tag}).stdout.strip() for tag in tags]
    assert versions[0].startswith("0~git") and versions[2] == "1.0"
    for old, new in zip(versions, versions[1:]):
        run("dpkg", "--compare-versions", old, "lt", new)


def test_package(tmp_path):
    """Installed, changed, installed again, removed and purged in a copy of this system."""
    env = os.environ | {"BUILD": str(BUILD.relative_to(TOP)), "OUT": str(tmp_path), "VERSION": "1.0-2-gabc",
                        "COMPRESS": "none"}
    made = run(TOP / "tools/deb", env=env).stdout.split()[-1]
    assert made.endswith(".deb") and "1.0+2+gabc" in made
    fields = run("dpkg-deb", "-f", made).stdout
    depends = re.search(r"^Depends: (.*)$", fields, re.M)[1]
    for library in ("libc6 (>=", "libssl3", "libbpf1", "libxdp1", "libnghttp2-14", "libyaml-0-2", "libcares2"):
        assert library in depends, depends
    work = tmp_path / "root"
    work.mkdir()
    out = run("unshare", "--mount", "sh", "-ec", ROOT_SCRIPT, "sh", work, made, LIFE).stdout
    lines = out.splitlines()
    assert "state install ok installed" in lines, out
    assert any(re.match(r"sluice:x:\d+:\d+:", line) for line in lines), out
    assert "root:sluice 750 /etc/sluice" in lines and "root:sluice 640 /etc/sluice/sluice.yaml" in lines, out
    assert any(line.startswith("check ") and "valid, 0 listeners" in line for line in lines), out
    assert "readable" in lines and "# mine" in lines, out
    assert not [line for line in lines if line.startswith(("left ", "enabled ", "differs "))], out


# --- the chart

@pytest.fixture(scope="module")
def manifests():
    """What the chart makes of its defaults: it is what lies in deploy/kubernetes."""
    text = (DEPLOY / "kubernetes/sluice.yaml").read_text()
    return {(row["kind"], row["metadata"]["name"]): row for row in yaml.safe_load_all(text)}


@pytest.fixture(scope="module")
def chart():
    """Of this host, or taken once by npm: `make test` has said why if it is not to be had."""
    if subprocess.run([TOP / "tools/helm", "version"], capture_output=True).returncode:
        pytest.skip("no helm here, and no npm to take it with: the chart is not tried")


def helm(*words, check=True):
    return run(TOP / "tools/helm", *words, check=check)


def rendered(*words):
    text = helm("template", "sluice", CHART, "--namespace", "sluice", *words).stdout
    return [row for row in yaml.safe_load_all(text) if row]


def test_chart_is_sound(chart, tmp_path):
    helm("lint", "--strict", CHART)
    before = (DEPLOY / "kubernetes/sluice.yaml").read_text()
    assert before.endswith(helm("template", "sluice", CHART, "--namespace", "sluice").stdout), \
        "deploy/kubernetes/sluice.yaml is stale: tools/helm --manifests"
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(EVERYTHING))
    kinds = [(row["kind"], row["metadata"]["name"]) for row in rendered("-f", str(values))]
    assert len(set(kinds)) == len(kinds)
    assert {kind for kind, _ in kinds} == {"ServiceAccount", "Role", "RoleBinding", "ConfigMap", "DaemonSet",
                                           "NetworkPolicy", "Service", "ServiceMonitor"}


EVERYTHING = {
    "tlsSecrets": ["www", "shop.example"],
    "rbac": {"operators": [{"kind": "Group", "name": "ops", "apiGroup": "rbac.authorization.k8s.io"}]},
    "networkPolicy": {"nodeCidrs": ["10.0.0.0/8"], "targets": [
        {"namespace": "shop", "podSelector": {"app": "web"}, "ports": [8080]},
        {"namespace": "shop", "podSelector": {"app": "api"}, "ports": [8081]}]},
    "metrics": {"enabled": True, "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}},
}


@pytest.mark.parametrize("bad", [
    "config.listeners[0].name=x", "tlsSecrets={A_B}", "updateStrategy.type=Sometimes", "imgae.tag=1",
    "config.xdp.pin_dir=/elsewhere", "config.upgrade.socket=/elsewhere", "metrics.port=0"])
def test_chart_refuses(chart, bad):
    done = helm("template", "sluice", CHART, "--set", bad, check=False)
    assert done.returncode != 0 and "schema" in done.stderr, done.stderr


@pytest.mark.parametrize("values, is_enough", [
    ("terminationGracePeriodSeconds=100", False), ("terminationGracePeriodSeconds=101", True),
    ("config.shutdown.timeout=2m", False), ("config.shutdown.timeout=100000ms", True), ("config.shutdown=null", True),
    ("terminationGracePeriodSeconds=30,config.shutdown=null", False), ("config.shutdown.grace=1d", False)])
def test_chart_leaves_time_to_end(chart, values, is_enough):
    """The kubelet does not kill what still serves."""
    done = helm("template", "sluice", CHART, "--set", values, check=False)
    assert (done.returncode == 0) == is_enough, done.stderr
    assert is_enough or "terminationGracePeriodSeconds" in done.stderr


def test_manifest(manifests):
    """What matters in it, so that a change of it is a decision."""
    pod = manifests["DaemonSet", "sluice"]["spec"]["template"]["spec"]
    one, prepare = pod["containers"][0], pod["initContainers"][0]
    assert pod["hostNetwork"] and pod["dnsPolicy"] == "ClusterFirstWithHostNet"
    assert pod["automountServiceAccountToken"] is False and not pod.get("hostPID")
    assert "ports" not in one
    assert set(one["securityContext"]["capabilities"]["add"]) == SIX
    assert prepare["securityContext"]["privileged"] and prepare["args"] == ["--prepare-host"]
    assert pod["priorityClassName"] and {"operator": "Exists"} in pod["tolerations"]
    config = yaml.safe_load(manifests["ConfigMap", "sluice"]["data"]["sluice.yaml"])
    took = sum(int(config["shutdown"][name].removesuffix("s")) for name in ("grace", "timeout"))
    assert pod["terminationGracePeriodSeconds"] > took
    for name in ("startupProbe", "readinessProbe"):
        assert "--own" in one[name]["exec"]["command"]
    assert one["lifecycle"]["preStop"]["exec"]["command"][1:] == ["--own", "drain"]


# --- the image, run as the manifest says

@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """The image, unpacked by a tool of the trade."""
    folder = tmp_path_factory.mktemp("image")
    run(TOP / "tools/image", folder / "layout", env=os.environ | {"BUILD": str(BUILD.relative_to(TOP)), "VERSION": "1"})
    run("umoci", "unpack", "--image", f"{folder}/layout:latest", folder / "bundle")
    yield folder / "bundle"
    shutil.rmtree(folder)


def test_image_is_small(bundle):
    rows = json.loads((bundle.parent / "layout/index.json").read_text())["manifests"]
    assert {row["annotations"]["org.opencontainers.image.ref.name"] for row in rows} == {"1", "latest"}
    files = [path for path in (bundle / "rootfs").rglob("*") if path.is_file() and not path.is_symlink()]
    names = {path.name for path in files}
    assert not names & {"sh", "bash", "dash", "busybox", "dpkg"}
    libraries = sum(path.stat().st_size for path in files if path.name not in ("sluiced", "sluicectl"))
    assert libraries < 32 << 20, libraries
    assert not [path for path in files if path.stat().st_mode & 0o6000]
    packages = {path.name: path.read_text() for path in (bundle / "rootfs/var/lib/dpkg/status.d").iterdir()}
    assert {"libc6", "libssl3t64", "libbpf1", "ca-certificates"} <= packages.keys()
    assert all(re.search(rf"^Package: {re.escape(name)}$", text, re.M) and re.search("^Version: ", text, re.M)
               for name, text in packages.items())
    for name in packages:  # of those that this system has
        licence = Path("/usr/share/doc") / name / "copyright"
        assert (bundle / "rootfs" / str(licence)[1:]).exists() == licence.exists(), name


def put_secret(folder, net, name):
    """As the kubelet writes a volume: a new folder, and one link that is exchanged."""
    number = len(list(folder.glob("..20*")))
    there = folder / f"..2026_{number}"
    there.mkdir()
    shutil.copy(net.certs[name][0], there / "tls.crt")
    shutil.copy(net.certs[name][1], there / "tls.key")
    (folder / "..data_tmp").symlink_to(there.name)
    (folder / "..data_tmp").rename(folder / "..data")
    for file in ("tls.crt", "tls.key"):
        if not (folder / file).is_symlink():
            (folder / file).symlink_to(f"..data/{file}")


@pytest.fixture
def node(net, tmp_path):
    """Folders of a node, and the pods that were started on it."""
    net.halt()
    pods, folders = [], {}
    for name in ("config", "run", "state", "tls-www", "dev-net"):
        folders[name] = tmp_path / name
        folders[name].mkdir()
    folders["dev-net"] = "/dev/net"
    folders["tmp"] = None
    net.pins.mkdir(exist_ok=True)
    folders["bpf"] = net.pins
    yield folders, pods
    for one in pods:
        one.stop()
    net.unpin()


def served_name(net):
    with TlsConnection((net.v4, 443)) as client:
        assert client.request().status == 200
        certificate = client.tls.getpeercert()
    return dict(row[0] for row in certificate["subject"]).get("commonName") or certificate["subjectAltName"][0][1]


def test_image_as_the_manifest_says(net, targets, node, bundle, tmp_path):
    """The pod's containers, one after the other, with exactly its capabilities, mounts, probes and hook, while a
    Secret is exchanged as the kubelet does."""
    folders, pods = node
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump({"tlsSecrets": ["www"], "config": {
        "xdp": {"interfaces": [net.device], "mode": "native"}, "shutdown": {"grace": "0s", "timeout": "5s"},
        "certificates": [{"name": "www", "cert": "/etc/sluice-tls/www/tls.crt", "key": "/etc/sluice-tls/www/tls.key"}],
        "target_groups": [group("web", "http", net.target_list(8080), NO_CHECK)],
        "listeners": [listener("web", "https", 443, "web", certificates=["www"])]}}))
    rows = {row["kind"]: row for row in rendered("-f", str(values))}
    (folders["config"] / "sluice.yaml").write_text(rows["ConfigMap"]["data"]["sluice.yaml"])
    put_secret(folders["tls-www"], net, "www")
    pod = rows["DaemonSet"]["spec"]["template"]["spec"]

    def container(row, name):
        folder = tmp_path / name
        folder.mkdir()
        pods.append(Pod(folder, bundle, pod, row, folders, net.lb))
        return pods[-1]
    status, said = container(pod["initContainers"][0], "prepare").run(patience(20))
    assert status == 0 and "FAILED" not in said, said
    one, row = container(pod["containers"][0], "sluice").start(), pod["containers"][0]

    def probe(name):
        assert one.process.poll() is None, one.log()
        done = one.exec(row[name]["exec"]["command"], patience(20))
        return done is not None and done.returncode == 0
    until(lambda: probe("startupProbe"), "the start is over", 20)
    assert probe("readinessProbe") and probe("livenessProbe")
    status = json.loads(one.exec(["/usr/bin/sluicectl", "-o", "json", "status"], patience(20)).stdout)
    assert status["xdp"]["interfaces"][0]["mode"] == "native", status["xdp"]
    assert status["handover"]["mode"] == "own_cookies" and status["gate"]["active"], status
    assert "without capabilities" not in one.log()
    host = one.exec(["/usr/sbin/sluiced", "--check-host"], patience(30))
    assert host.returncode == 0 and re.search(r"^capabilities +ok", host.stdout, re.M), host.stdout + host.stderr
    assert "www" in served_name(net)
    put_secret(folders["tls-www"], net, "default")
    until(lambda: "default" in served_name(net), "the other certificate is served", 20)
    with Load((net.v4, 443), 4, 20, client_context(verify=False), is_new_each=True) as load, \
            TlsConnection((net.v4, 443)) as tunnel:
        tunnel.send(b"GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert tunnel.response().status == 101
        before, one = one, container(row, "sluice-next").start()
        until(lambda: probe("startupProbe"), "the next pod serves", 20)
        put_secret(folders["tls-www"], net, "www")
        until(lambda: "www" in served_name(net), "the other certificate is served", 20)
        hook = before.exec(row["lifecycle"]["preStop"]["exec"]["command"], patience(20))
        assert hook.returncode != 0  # it is not the one that serves, and is not to drain the one that is
        before.process.terminate()
        tunnel.send(b"ping")
        assert tunnel.take(4) == b"ping"
        done = load.ok
        until(lambda: load.ok > done + 20, "the load goes on")
    assert load.failures == []
    assert "ready: 1 listeners" in one.log()  # not in that of the pod before
    assert probe("readinessProbe") and before.process.wait(timeout=patience(20)) == 0, before.log()
    hook = one.exec(row["lifecycle"]["preStop"]["exec"]["command"], patience(20))
    assert hook.returncode == 0, hook.stderr
    until(lambda: one.process.poll() is not None, "it has left", 20)
    assert one.stop() == 0 and "stopped" in one.log(), one.log()


def test_own_daemon_only(std):
    """From another PID namespace it is another container's."""
    command = [BUILD / "sluicectl", "--socket", std.socket, "--own", "ready"]
    assert run(*command).returncode == 0
    done = run("unshare", "--pid", "--fork", *command, check=False)
    assert done.returncode != 0 and "of another container" in done.stderr, done.stderr
    assert run("unshare", "--pid", "--fork", *command[:3], "ready").returncode == 0
