"""Stands in for the `docker` package in the tests of py-consul: its one container is a process of Atoll."""

import json
import os
import signal
import socket
import subprocess
import tempfile

from . import errors

__all__ = ["DockerClient", "errors", "from_env"]


def _free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _http_port():
    """That of a container, which some checks of the tests ask; another one where it is taken."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", 8500))
            return 8500
        except OSError:
            return _free_ports(1)[0]


class _Container:
    def __init__(self, environment):
        server, dns = _free_ports(2)
        http = _http_port()
        config = json.loads(environment.get("CONSUL_LOCAL_CONFIG", "{}"))
        config["ports"] = {"http": http, "server": server, "dns": dns}
        self._folder = tempfile.TemporaryDirectory()
        file = os.path.join(self._folder.name, "config.json")
        with open(file, "w", encoding="utf-8") as out:
            json.dump(config, out)
        self._log = open(os.path.join(self._folder.name, "log"), "w+b")
        self._process = subprocess.Popen(
            ["consul", "agent", "-dev", "-config-file", file], stdout=self._log, stderr=self._log
        )
        self.attrs = {"NetworkSettings": {"Ports": {"8500/tcp": [{"HostPort": str(http)}]}}}

    def reload(self):
        pass

    def logs(self):
        self._log.seek(0)
        return self._log.read()

    def stop(self):
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)

    def remove(self, force=False):
        self._log.close()
        self._folder.cleanup()


class _Containers:
    def run(self, image, command=None, environment=None, **_options):
        return _Container(environment or {})

    def get(self, name):
        raise errors.NotFound(name)


class DockerClient:
    containers = _Containers()


def from_env():
    return DockerClient()
