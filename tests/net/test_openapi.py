"""The document that describes the admin API: it is sound, it says of real configurations what the daemon
says, and whatever is sent by it, or nearly by it, is answered in order."""
import json
import random
import re
import urllib.parse

import jsonschema
import pytest
import yaml

import standard
from counts import count
from sluiced import UnixHttp

ENDS = {"drain", "upgrade"}  # it would
ENDLESS = {"watch_drops", "events"}
LATER = {501, 503, 507}  # not here, not now, no room


@pytest.fixture
def document(std):
    return std.api("/v1/openapi.json")


def operations(document):
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def whole(document, schema):
    """The schema with what it refers to."""
    return {"components": document["components"]} | schema


def refs(node):
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from refs(value)
    elif isinstance(node, list):
        for value in node:
            yield from refs(value)


def test_document_is_sound(document):
    """References lead somewhere, schemas are some, parameters of paths are named, names are unique."""
    assert document["openapi"] == "3.1.0" and document["info"]["version"]
    for ref in set(refs(document)):
        node = document
        for part in ref.removeprefix("#/").split("/"):
            node = node[part]
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids)) > 40
    for path, method, operation in operations(document):
        named = [p["name"] for p in operation["parameters"] if p["in"] == "path"]
        assert [f"{{{name}}}" for name in named] == [p for p in path.split("/") if p.startswith("{")], path
        for parameter in operation["parameters"]:
            jsonschema.Draft202012Validator.check_schema(parameter["schema"])
        for content in operation.get("requestBody", {}).get("content", {}).values():
            jsonschema.Draft202012Validator.check_schema(content["schema"])
        assert ("requestBody" in operation) <= (method != "get") and operation["summary"]
        assert operation["x-sluice-role"] in ("read", "operate", "admin")


def test_document_has_every_command(document):
    """What the manual lists is in it."""
    here = [f"{method} {path}" for path, method, _ in operations(document)]
    with open("docs/api.md", encoding="utf-8") as text:
        rows = re.findall(r"^\| ([A-Z]+) \| `(/v1/[^`]*)` \|", text.read(), re.M)
    assert len(rows) > 40
    for method, path in rows:
        wanted = f"{method.lower()} " + re.escape(path).replace(r"\{\}", "[^/]+")
        assert any(re.fullmatch(wanted, operation) for operation in here), wanted


def test_schemas_fit_what_is_configured(std, document):
    """Each object of the standard configuration, as the API shows it, is what its schema allows; and the
    configuration in effect, with every default, is."""
    validator = jsonschema.Draft202012Validator
    kinds = {path.split("/")[3]: operation["requestBody"]["content"]["application/json"]["schema"]
             for path, method, operation in operations(document)
             if path.startswith("/v1/objects/") and method == "put"}
    seen = set()
    for row in std.api("/v1/objects")["objects"]:
        name = urllib.parse.quote(row["name"], safe="")
        settings = std.api(f"/v1/objects/{row['kind']}/{name}")["settings"]
        validator(whole(document, kinds[row["kind"]])).validate(settings)
        seen.add(row["kind"])
    assert seen >= {"listeners", "certificates", "target_groups", "targets", "settings"}
    effective = yaml.load(std.api("/v1/config")["yaml"], yaml.BaseLoader)
    validator(whole(document, {"$ref": "#/components/schemas/config"})).validate(effective)
    for bad in ({"protocol": "htp"}, {"nonsense": 1}, {"timeouts": {"idle": "soon"}}):
        with pytest.raises(jsonschema.ValidationError):
            validator(whole(document, kinds["listeners"])).validate(bad)


class Maker:
    """Values by a schema; now and then something else."""

    def __init__(self, document, seed):
        self.document, self.random = document, random.Random(seed)
        self.odd = [None, True, -1, 0, 2**63, 1e308, "", "x" * 5000, "\u0000", "../..", "%00", "é\u2028", [], {},
                    [[[]]], {"blob": "0" * 64}, {"content": 5}, {"base64": "=="}, "null", "-1", "1s", "*"]

    def value(self, schema, depth=0):
        if self.random.random() < 0.12:
            return self.random.choice(self.odd)
        if "$ref" in schema:
            return self.value(self.document["components"]["schemas"][schema["$ref"].split("/")[-1]], depth)
        if "anyOf" in schema:
            return self.value(self.random.choice(schema["anyOf"]), depth)
        if "enum" in schema:
            return self.random.choice(schema["enum"])
        if "const" in schema:
            return schema["const"]
        kind = schema.get("type", "string")
        return getattr(self, kind if isinstance(kind, str) else kind[0])(schema, depth)

    def object(self, schema, depth):
        names = schema.get("propertyNames", {}).get("enum", [])
        properties = schema.get("properties", {name: {} for name in names})
        wanted = set(schema.get("required", []))
        for name in properties:
            if self.random.random() < (0.3 if depth < 6 else 0):
                wanted.add(name)
        made = {name: self.value(properties.get(name, {}), depth + 1) for name in wanted}
        if self.random.random() < 0.05:
            made[self.random.choice(["name", "x", "", "<<", "protocol"])] = self.value({}, depth + 1)
        return made

    def array(self, schema, depth):
        return [self.value(schema["items"], depth + 1) for _ in range(self.random.randint(0, 3))]

    def integer(self, schema, depth):
        low, high = schema.get("minimum", 0), schema.get("maximum", 1 << 40)
        return self.random.choice([low, high, self.random.randint(low, high), low - 1, high + 1])

    def boolean(self, schema, depth):
        return self.random.random() < 0.5

    def string(self, schema, depth):
        return self.random.choice(
            ["web", "www", "http", "a", "10s", "1%", "192.0.2.1:80", "192.0.2.0/24", "a.test", "/dev/null",
             "default", "5", "regex:(", "#{host}", "TLS_AES_128_GCM_SHA256", "-----BEGIN CERTIFICATE-----\n"])

    def target(self, path, operation):
        query = []
        for parameter in operation["parameters"]:
            if parameter["in"] == "path":
                text = str(self.value(parameter["schema"]))
                path = path.replace(f"{{{parameter['name']}}}", urllib.parse.quote(text, safe="") or "x")
            elif parameter["in"] == "query" and self.random.random() < 0.4:
                query.append((parameter["name"], str(self.value(parameter["schema"]))))
        return path + ("?" + urllib.parse.urlencode(query) if query else "")

    def body(self, operation):
        for kind, content in operation.get("requestBody", {}).get("content", {}).items():
            value = self.value(content["schema"])
            text = value if kind == "text/plain" and isinstance(value, str) else json.dumps(value)
            return text[:self.random.randint(0, len(text))] if self.random.random() < 0.05 else text
        return None


def send(std, method, target, body, headers):
    connection = UnixHttp(std.socket, timeout=30)
    try:
        connection.request(method.upper(), target, body=body.encode() if body is not None else None,
                           headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type"), answer.read()
    finally:
        connection.close()


def check(document, answer, request):
    status, kind, text = answer
    assert status < 500 or status in LATER, (request, answer)
    if kind.startswith("application/json") or status >= 400:
        said = json.loads(text)
        if status >= 400:
            assert kind == "application/problem+json" and said["status"] == status
            jsonschema.Draft202012Validator(
                whole(document, {"$ref": "#/components/schemas/error"})).validate(said)
            assert said["error"]["message"], request


def test_whatever_is_sent_is_answered(net, launch):
    """By the document, or nearly: no answer is a fault of the daemon, and it goes on serving."""
    one = launch(standard.config(net))
    document = one.api("/v1/openapi.json")
    statuses = {}
    for seed in range(count("api_rounds")):
        maker = Maker(document, seed)
        for path, method, operation in operations(document):
            if operation["operationId"] in ENDS | ENDLESS:
                continue
            headers = {"If-Match": '"x"'} if maker.random.random() < 0.05 else {}
            request = (method, maker.target(path, operation), maker.body(operation), headers)
            answer = send(one, *request)
            check(document, answer, request)
            statuses[answer[0]] = statuses.get(answer[0], 0) + 1
        one.change("POST", "/v1/rollback?to=0")
    assert one.is_alive() and one.api("/v1/status")["pid"] == one.process.pid
    assert statuses[200] > 20 and statuses[404] > 5 and statuses[422] > 5 and statuses[400] > 5, statuses
