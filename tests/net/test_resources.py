"""Everything of the configuration as a resource of the admin API: rules and targets by themselves, what
comes from the file, settings of the whole program; what is different between versions, and all of it as
one file."""
import http.client
import json
import random
import subprocess
import threading
import time

import pytest
import yaml

from counts import count
from sluiced import BUILD
from standard import CHECK, group, listener
from wire import Connection, until

ALL = ["healthy"] * 3


def fixed(status, path):
    return {"conditions": [{"path": path}], "actions": [{"fixed_response": {"status": status}}]}


def config(net, *targets, **settings):
    rules = [{"name": "old", "priority": 10} | fixed(210, "/old"), {"priority": 13} | fixed(213, "/none")]
    return {"target_groups": [group("web", "http", targets or net.target_list(8080), CHECK)],
            "listeners": [listener("web", "http", 80, "web", rules=rules)]} | settings


@pytest.fixture
def one(net, launch):
    one = launch(config(net))
    one.wait_states("web", ALL)
    return one


def get(net, path):
    with Connection((net.v4, 80)) as client:
        return client.request(path).status


def priorities(one):
    rules = one.api("/v1/rules")["listeners"][0]["rules"]
    return [(rule["name"], rule["priority"]) for rule in rules]


def test_rules(net, one):
    """Made, changed, moved among the file's, deleted; the file's come back."""
    path = "/v1/objects/rules/web/new"
    answer = one.change("PUT", path, {"priority": 5} | fixed(205, "/*"), If_None_Match="*")
    assert [(c["op"], c["kind"], c["name"]) for c in answer["changes"]] == [("add", "rules", "web/new")]
    assert get(net, "/old") == 205
    one.change("PUT", "/v1/listeners/web/rules/new/priority", {"priority": 20})
    assert (get(net, "/old"), get(net, "/other")) == (210, 205)
    one.change("PUT", "/v1/objects/rules/web/more", {"priority": 21} | fixed(206, "/*"))
    one.change("PUT", "/v1/listeners/web/rules/more/priority", {"priority": 20})
    assert priorities(one) == [("old", 10), ("rule-13", 13), ("more", 20), ("new", 21)]
    one.ctl("objects", "move", "web/new", "10")
    assert (get(net, "/old"), get(net, "/other")) == (205, 205)
    assert priorities(one)[:2] == [("new", 10), ("old", 11)], "the file's rule made room"
    status, answer, _ = one.ask("PUT", "/v1/listeners/web/rules/rule-12/priority", {"priority": 1})
    assert status == 404, answer
    one.change("PATCH", path, {"actions": [{"fixed_response": {"status": 222}}]})
    assert get(net, "/old") == 222
    assert one.api(path)["origin"] == "api" and one.api("/v1/objects/rules/web/old")["origin"] == "both"
    one.change("DELETE", path)
    assert one.ask("GET", path)[0] == 404 and get(net, "/old") == 210
    status, answer, _ = one.ask("DELETE", "/v1/objects/rules/web/rule-13")
    assert status == 409 and answer["error"]["code"] == "from_file"


def test_unnamed_rules_stay_where_they_are(one):
    """Their priority is their name."""
    status, answer, _ = one.ask("PUT", "/v1/listeners/web/rules/old/priority", {"priority": 13})
    assert status == 409 and "rule-13" in answer["error"]["message"]
    assert priorities(one) == [("old", 10), ("rule-13", 13)]


def test_targets_lie_over_the_group_of_the_file(net, one):
    """Registered by address; a reload that changes the group keeps them, and changes it."""
    first = net.target_list(8080)[0]["address"]
    extra = first.replace(":8080", ":8081")
    for _ in range(2):
        one.change("PUT", f"/v1/objects/targets/web/{extra}", {"weight": 3})
        one.change("PATCH", "/v1/objects/targets/web/t1", {"weight": 0})
        targets = one.targets("web")
        assert targets[extra]["weight"] == 3 and targets["t1"]["weight"] == 0
        assert targets["t1"]["address"] == first and len(targets) == 4
        one.reload(config(net, *net.target_list(8080)[:2]))
        until(lambda: sorted(one.targets("web")) == sorted([extra, "t1", "t2"]), "the file's third is gone")
        one.reload(config(net))
        one.change("DELETE", f"/v1/objects/targets/web/{extra}")
        one.change("DELETE", "/v1/objects/targets/web/t1")
        until(lambda: len(one.targets("web")) == 3, "what was deleted is gone")
        assert one.targets("web")["t1"]["weight"] == 1


def test_patch_of_the_files_objects(net, one):
    """It is the API's from then on, with all that the file said."""
    one.change("PATCH", "/v1/objects/target_groups/web", {"algorithm": "least_outstanding"})
    shown = one.api("/v1/objects/target_groups/web")
    assert shown["origin"] == "both" and shown["settings"]["algorithm"] == "least_outstanding"
    assert len(shown["api"]["targets"]) == 3 and get(net, "/") == 200
    one.change("DELETE", "/v1/objects/target_groups/web")
    assert "algorithm" not in one.api("/v1/objects/target_groups/web")["settings"]


def test_patch_of_a_group_with_targets_of_its_own(net, one):
    """What is below the group is none of its settings: it goes when it is deleted."""
    first = net.target_list(8080)[0]["address"]
    extra = first.replace(":8080", ":8081")
    one.change("PUT", f"/v1/objects/targets/web/{extra}", {})
    one.change("PATCH", "/v1/objects/targets/web/t1", {"weight": 0})
    one.change("PATCH", "/v1/objects/target_groups/web", {"algorithm": "least_outstanding"})
    one.change("DELETE", f"/v1/objects/targets/web/{extra}")
    one.change("DELETE", "/v1/objects/targets/web/t1")
    until(lambda: len(one.targets("web")) == 3, "what was deleted is gone")
    assert one.targets("web")["t1"]["weight"] == 1
    assert one.api("/v1/objects/targets/web/t1")["origin"] == "parent"
    status, answer, _ = one.ask("DELETE", "/v1/objects/targets/web/t1")
    assert (status, answer["error"]["code"]) == (409, "in_parent")


def test_parent_gone_from_the_file(net, one):
    """A reload says so; a start goes on without what is below."""
    one.reload(with_more := config(net) | {"listeners": config(net)["listeners"] + [
        listener("more", "http", 81, "web")]})
    one.change("PUT", "/v1/objects/rules/more/new", {"priority": 5} | fixed(205, "/*"))
    assert one.api("/v1/objects/rules/more/new")["origin"] == "api"
    one.write(config(net))
    status, answer, _ = one.ask("POST", "/v1/reload")
    assert status == 422 and 'called "more"' in str(answer)
    one.kill9()
    one.start()
    one.wait_states("web", ALL)
    assert one.api("/v1/objects/rules/more/new")["origin"] == "unused" and get(net, "/old") == 210
    one.change("DELETE", "/v1/objects/rules/more/new")
    one.reload(with_more)


def test_settings_of_the_whole_program(net, one):
    one.change("PATCH", "/v1/objects/settings/limits", {"source": {"connections_per_second": 7}})
    one.change("PUT", "/v1/objects/settings/limits",
               {"connections": 5, "name": {"handshakes_per_second": 9}})
    loaded = yaml.safe_load(one.api("/v1/config")["yaml"])
    assert loaded["limits"]["connections"] == 5 and loaded["limits"]["name"]["handshakes_per_second"] == 9
    assert loaded["limits"]["source"]["connections_per_second"] == 0, "PUT replaces what the API had"
    one.change("PATCH", "/v1/objects/settings/global", {"history": 7})
    for name, body, code, text in (
            ("admin", {"socket": "/run/x"}, 422, "restart sluiced"), ("global", {"workers": 2}, 422, "restart"),
            ("global", {"limits": {}}, 422, "an object of its own"), ("limit", {}, 404, "there is: admin")):
        status, answer, _ = one.ask("PATCH", f"/v1/objects/settings/{name}", body)
        assert status == code and text in str(answer), answer
    one.change("DELETE", "/v1/objects/settings/limits")
    assert "source" not in one.api("/v1/objects/settings/limits")["settings"]


def test_what_is_below_goes_with_it(one):
    body = {"protocol": "http", "health_check": {"protocol": "off"}}
    one.change("PUT", "/v1/objects/target_groups/new", body)
    one.change("PUT", "/v1/objects/targets/new/127.0.0.1:1", {})
    status, answer, _ = one.ask("PUT", "/v1/objects/targets/nobody/127.0.0.1:1", {})
    assert status == 422 and 'called "nobody" among target_groups' in str(answer)
    changes = one.change("DELETE", "/v1/objects/target_groups/new")["changes"]
    assert [c["name"] for c in changes] == ["new", "new/127.0.0.1:1"]


def test_differences(one):
    one.change("PUT", "/v1/objects/rules/web/a", {"priority": 20} | fixed(200, "/a"))
    one.change("PATCH", "/v1/objects/rules/web/a", {"priority": 30})
    one.change("PUT", "/v1/objects/settings/limits", {"connections": 5})
    answer = one.api("/v1/diff?from=0")
    assert "changes" in answer, answer
    assert (answer["from"], answer["to"]) == (0, 3) and [c["op"] for c in answer["changes"]] == ["add"] * 2
    assert answer["changes"][0]["after"]["priority"] == 30 and answer["changes"][0]["before"] is None
    assert [c["name"] for c in one.api("/v1/diff")["changes"]] == ["limits"]
    text = one.ctl("history", "show", "2")[1]
    assert '-  "priority": 20' in text and '+  "priority": 30' in text and "change rules/web/a" in text
    assert one.api("/v1/diff?from=3&to=1")["changes"][1]["op"] == "delete"
    assert "+{" in one.ctl("diff", "2")[1] and "no difference" in one.ctl("diff", "3")[1]
    for words, code in ((["diff", "9"], 1), (["diff", "x"], 2), (["history", "2"], 2)):
        assert one.ctl(*words, check=False)[0] == code
    assert one.ask("GET", "/v1/diff?from=x")[0] == 400


def test_export(net, one, tmp_path, launch):
    """A file that says the same: a new daemon with it, and without the API's objects, is the same."""
    (net.folder / "tls/aside").mkdir(exist_ok=True)
    cert, key = net.ca.issue("aside/export", "export.test")
    one.change("PUT", "/v1/certificates/shop", {"certificate": cert.read_text(), "key": key.read_text()})
    one.change("PUT", "/v1/objects/rules/web/a", {"priority": 20} | fixed(203, "/a"))
    one.change("PUT", "/v1/objects/settings/limits", {"connections": 500})
    one.change("PUT", "/v1/objects/trust_stores/people", {"ca": {"content": net.ca.pem.read_text()}})
    text = one.ctl("export")[1]
    assert key.read_text().splitlines()[1] not in text and "PRIVATE" not in text
    answer = json.loads(one.ctl("export", "-o", "json")[1])
    assert len(answer["contents"]) == 3 and all(path in text for path in answer["contents"])
    path = tmp_path / "exported.yaml"
    path.write_text(text)
    done = subprocess.run([BUILD / "sluiced", "--check", path], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    exported = yaml.safe_load(text)
    assert exported["limits"] == {"connections": 500}
    assert [rule.get("name") for rule in exported["listeners"][0]["rules"]] == ["old", None, "a"]
    before = one.api("/v1/config")["yaml"]
    one.change("POST", "/v1/rollback?to=0")
    one.reload(exported)
    assert sorted(before.splitlines()) == sorted(one.api("/v1/config")["yaml"].splitlines())
    assert get(net, "/a") == 203


class Writer(threading.Thread):
    """Changes one object again and again until nobody answers: `done` is the last value that was
    acknowledged, one more may have been taken."""

    def __init__(self, one, begin):
        super().__init__(daemon=True)
        self.one, self.done, self.begin = one, begin, begin

    def run(self):
        while True:
            ca = self.one.net.ca.pem.read_text() + f"# {self.done + 1}\n"
            try:
                self.one.change("PUT", "/v1/objects/trust_stores/count", {"ca": {"content": ca}})
            except (OSError, http.client.HTTPException, ValueError):
                return
            self.done += 1


def test_killed_at_random_points(net, launch):
    """Whatever the moment: what was acknowledged is there, whole, or what came right after it."""
    one = launch(config(net) | {"xdp": {"mode": "off"}, "history": 5})
    moments = random.Random(8)
    value = 0
    for _ in range(count("state_kills")):
        writer = Writer(one, value)
        writer.start()
        until(lambda: writer.done > writer.begin, "a change")
        time.sleep(moments.uniform(0, 0.03))  # any point will do
        one.kill9()
        writer.join()
        one.start()
        settings = one.api("/v1/objects/trust_stores/count")["settings"]
        with open(f"{one.base['state_dir']}/objects/blobs/{settings['ca']['blob']}", encoding="utf-8") as text:
            value = int(text.read().rstrip().rsplit("# ", 1)[1])
        assert writer.done <= value <= writer.done + 1
        assert one.api("/v1/history")["versions"][0]["version"] == value
    assert "damaged" not in one.log() and "is in force instead" not in one.log()
