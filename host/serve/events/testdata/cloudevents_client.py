"""Speaks CloudEvents by their own package. cloudevents_client.py URL sends the inference on stdin, {"request", "response": JSON and base64}, in every
mode, each with an id of its own, and prints the ids; cloudevents_client.py alone reads a reply, {"headers", "body"}, and prints its attributes."""
import base64
import json
import sys
import urllib.request

from cloudevents.http import CloudEvent, from_http, to_binary, to_structured

given = json.load(sys.stdin)
if len(sys.argv) == 1:
    event = from_http(given["headers"], given["body"])
    json.dump({name: event[name] for name in ("type", "source", "requestid", "time")} | {"of": event.data["id"]}, sys.stdout)
    sys.exit()
ids = []
for mode, write in ("binary", to_binary), ("structured", to_structured):
    for kind in "json", "bytes":
        ids.append(f"{mode}-{kind}")
        for part in "response", "request":
            data = json.loads(given[part]["json"]) if kind == "json" else base64.b64decode(given[part]["bytes"])
            event = CloudEvent({"type": "org.kubeflow.serving.inference." + part, "source": "http://localhost:9081/", "id": ids[-1], "inferenceservicename": "fashion",
                                "datacontenttype": "application/json" if kind == "json" else "application/octet-stream"}, data)
            headers, body = write(event)
            with urllib.request.urlopen(urllib.request.Request(sys.argv[1], body, headers)) as answer:
                assert answer.status == 200, answer.status
json.dump(ids, sys.stdout)
