"""Debian's `openstack` and `nova`, unmodified, without their start of about a second: each command runs in a fork of
this process, which has imported them. A command is one connection to the unix socket that argv names: a line of JSON
in ({program, args, env}), JSON out ({code, stdout, stderr})."""

import importlib.metadata
import json
import os
import socketserver
import sys
import tempfile

import novaclient.shell
import openstackclient.shell

MAINS = {"openstack": openstackclient.shell.main, "nova": novaclient.shell.main}
PLUGINS = ("openstack.", "cliff.", "keystoneauth1.")


class Command(socketserver.StreamRequestHandler):
    def handle(self):
        wanted = json.loads(self.rfile.readline())
        sys.argv = [wanted["program"], *wanted["args"]]
        os.environ.clear()
        os.environ.update(wanted["env"])
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            try:
                code = MAINS[wanted["program"]](wanted["args"])
            except SystemExit as end:
                code = end.code
            sys.stdout.flush()
            sys.stderr.flush()
            answer = {"code": code or 0, "stdout": written(out), "stderr": written(err)}
        self.wfile.write(json.dumps(answer).encode())


class Server(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    request_queue_size = 64


def written(file):
    file.seek(0)
    return file.read().decode()


# What the clients look up by entry point, they import at each start; some of it needs packages that are not here.
for distribution in importlib.metadata.distributions():
    for point in distribution.entry_points:
        if point.group.startswith(PLUGINS):
            try:
                point.load()
            except ImportError:
                pass

with Server(sys.argv[1], Command) as server:
    print(json.dumps({"max": novaclient.API_MAX_VERSION.get_string()}), flush=True)
    server.serve_forever()
