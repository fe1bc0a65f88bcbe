"""Calls a server by xmlrpc.client of Python's own library. Standard input has a call a line, [method, [parameter, ...]]
in JSON; standard output gets {"value": ...} or {"fault": code, "text": ...} for each."""
import json
import sys
import xmlrpc.client

server = xmlrpc.client.ServerProxy(sys.argv[1])
for line in sys.stdin:
    method, params = json.loads(line)
    try:
        answer = {"value": getattr(server, method)(*params)}
    except xmlrpc.client.Fault as fault:
        answer = {"fault": fault.faultCode, "text": fault.faultString}
    print(json.dumps(answer), flush=True)
