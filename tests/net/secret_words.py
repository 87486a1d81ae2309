"""Settings with the word SECRET wherever somebody may have put one."""
from standard import CHECK, group, listener


def settings(net):
    edits = {"set": [{"name": "Authorization", "value": "SECRET"}], "add": [{"name": "X-Key", "value": "SECRET"}]}
    rules = [{"priority": 1, "target_group": "web", "request_headers": edits, "response_headers": edits,
              "rewrite": {"query": "key=SECRET&#{query}"},
              "conditions": [{"header": {"name": "X", "values": ["SECRET"]}, "cookie": {"name": "c", "values": ["SECRET"]},
                              "query": [{"key": "key", "value": "SECRET"}]}]},
             {"priority": 2, "conditions": [{"path": "/a"}], "actions": [{"redirect": {"query": "key=SECRET"}}]},
             {"priority": 3, "conditions": [{"path": "/b"}], "actions": [{"fixed_response": {"status": 200, "body": "SECRET"}}]}]
    check = CHECK | {"path": "/healthz?token=SECRET"}
    return {"target_groups": [group("web", "http", net.target_list(8080), check)],
            "listeners": [listener("web", "http", 80, "web", rules=rules)],
            "alerts": {"webhook": "http://198.18.2.11:9/SECRET"}}
