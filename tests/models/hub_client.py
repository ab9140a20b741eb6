"""A process that finds models by name: one JSON request a line in, one JSON answer a line out."""

import json
import logging
import sys

from pellucid.errors import PellucidError
from pellucid.models import hub

notes: list[str] = []
handler = logging.Handler()
handler.emit = lambda record: notes.append(record.getMessage())
logging.getLogger("pellucid").addHandler(handler)

for line in sys.stdin:
    notes.clear()
    request = json.loads(line)
    try:
        source = hub.find(request.pop("name"), **request)
        answer = {"path": str(source.path), "kind": source.kind, "notes": notes}
    except PellucidError as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    print(json.dumps(answer), flush=True)
