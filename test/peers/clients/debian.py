"""Debian's python3-consul, which carries no tests of its own, against an agent: every group of its API.

    python3 debian.py PORT        a line for each group: PASSED or FAILED, its name, and why
"""

import sys
import time
import traceback

import consul


def eventually(look):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come to pass")


def same(found, wanted):
    assert found == wanted, "%r is not %r" % (found, wanted)


def refused(error, act):
    try:
        act()
    except error:
        return
    raise AssertionError("it was not refused with %s" % error.__name__)


def by_put(c, act, path, **params):
    """This client sends some commands by GET, which Consul refuses since 1.0, and Atoll as it does: they work by PUT."""
    same(act(), False)
    same(c.http.put(consul.base.CB.bool(), path, params=list(params.items())), True)


def kv(c):
    same(c.kv.put("py/a", "one", flags=7), True)
    index, entry = c.kv.get("py/a")
    same((entry["Value"], entry["Flags"], int(index) > 0), (b"one", 7, True))
    same(c.kv.put("py/a", "two", cas=1), False)
    same(c.kv.put("py/a", "two", cas=entry["ModifyIndex"]), True)
    same(c.kv.put("py/sub/b", b"\x00\xff"), True)
    same([each["Key"] for each in c.kv.get("py/", recurse=True)[1]], ["py/a", "py/sub/b"])
    same(c.kv.get("py/", keys=True, separator="/")[1], ["py/a", "py/sub/"])
    index, _ = c.kv.get("py/a")
    began = time.monotonic()
    same(c.kv.get("py/a", index=index, wait="200ms")[0], index)
    assert time.monotonic() - began >= 0.2
    same(c.kv.delete("py/a", cas=1), False)
    same(c.kv.delete("py/", recurse=True), True)
    same(c.kv.get("py/a")[1], None)


def agent(c):
    assert c.agent.self()["Config"]["NodeName"]
    same(len(c.agent.members()), 1)
    same(len(c.agent.members(wan=True)), 1)
    same(c.agent.maintenance(True, "disk"), True)
    assert "_node_maintenance" in c.agent.checks()
    same(c.agent.maintenance(False), True)
    assert "_node_maintenance" not in c.agent.checks()
    same(c.agent.join("127.0.0.1:1"), False)
    same(c.agent.force_leave("nobody"), False)


def agent_service(c):
    register = c.agent.service.register
    same(register("web", service_id="web-1", address="10.0.0.1", port=80, tags=["v1"], check=consul.Check.ttl("10m")), True)
    service = c.agent.services()["web-1"]
    same([service[key] for key in ("Service", "Address", "Port", "Tags")], ["web", "10.0.0.1", 80, ["v1"]])
    same(c.agent.service.maintenance("web-1", True, "disk"), True)
    assert "_service_maintenance:web-1" in c.agent.checks()
    same(c.agent.service.maintenance("web-1", False), True)
    by_put(c, lambda: c.agent.service.deregister("web-1"), "/v1/agent/service/deregister/web-1")
    assert "web-1" not in c.agent.services()


def agent_check(c):
    same(c.agent.check.register("mem", check=consul.Check.ttl("10m"), check_id="mem"), True)
    for act, status in (("ttl_pass", "passing"), ("ttl_warn", "warning"), ("ttl_fail", "critical")):
        by_put(c, lambda: getattr(c.agent.check, act)("mem"), "/v1/agent/check/%s/mem" % act[4:], note="said")
        check = c.agent.checks()["mem"]
        same((check["Status"], check["Output"]), (status, "said"))
    by_put(c, lambda: c.agent.check.deregister("mem"), "/v1/agent/check/deregister/mem")
    same(c.agent.check.register("http", check=consul.Check.http("http://127.0.0.1:1/", "10m", timeout="1s")), True)
    same(c.agent.check.register("tcp", check=consul.Check.tcp("127.0.0.1", 1, "10m", timeout="1s")), True)
    same([c.agent.checks()[each]["Type"] for each in ("http", "tcp")], ["http", "tcp"])
    for each in ("http", "tcp"):
        by_put(c, lambda: c.agent.check.deregister(each), "/v1/agent/check/deregister/%s" % each)


def catalog(c):
    service = {"Service": "db", "ID": "db-1", "Tags": ["main"], "Port": 5432}
    check = {"Node": "py-node", "CheckID": "alive", "Name": "alive", "Status": "passing", "ServiceID": "db-1"}
    same(c.catalog.register("py-node", "10.0.0.9", service=service, check=check), True)
    same(c.catalog.datacenters(), ["dc1"])
    assert "py-node" in [each["Node"] for each in c.catalog.nodes(near="_agent")[1]]
    same(c.catalog.services()[1]["db"], ["main"])
    same([each["ServicePort"] for each in c.catalog.service("db", tag="main")[1]], [5432])
    same(c.catalog.service("db", tag="other")[1], [])
    same(list(c.catalog.node("py-node")[1]["Services"]), ["db-1"])
    refused(consul.ConsulException, lambda: c.catalog.nodes(dc="dc9"))
    same(c.catalog.deregister("py-node", service_id="db-1"), True)
    same(c.catalog.deregister("py-node"), True)
    same(c.catalog.node("py-node")[1], None)


def health(c):
    c.agent.service.register("api", port=1, check=consul.Check.ttl("10m"))
    eventually(lambda: c.health.service("api")[1])
    same(c.health.service("api", passing=True)[1], [])
    index, _ = c.health.service("api")
    by_put(c, lambda: c.agent.check.ttl_pass("service:api"), "/v1/agent/check/pass/service:api")
    later, entries = c.health.service("api", passing=True, index=index, wait="10s")
    assert int(later) > int(index) and len(entries) == 1
    same([each["Status"] for each in c.health.checks("api")[1]], ["passing"])
    assert "service:api" in [each["CheckID"] for each in c.health.state("passing")[1]]
    node = entries[0]["Node"]["Node"]
    assert "serfHealth" in [each["CheckID"] for each in c.health.node(node)[1]]
    by_put(c, lambda: c.agent.service.deregister("api"), "/v1/agent/service/deregister/api")
    eventually(lambda: not c.health.service("api")[1])


def session(c):
    id = c.session.create(name="py", ttl=30, behavior="delete", lock_delay=0)
    same([c.session.info(id)[1][key] for key in ("Name", "TTL", "Behavior")], ["py", "30s", "delete"])
    node = c.agent.self()["Config"]["NodeName"]
    same([each["ID"] for each in c.session.list()[1]], [id])
    same([each["ID"] for each in c.session.node(node)[1]], [id])
    same(c.session.renew(id)["ID"], id)
    same(c.kv.put("py/lock", "x", acquire=id), True)
    same((c.kv.get("py/lock")[1]["Session"], c.kv.get("py/lock")[1]["LockIndex"]), (id, 1))
    same(c.kv.put("py/lock", "x", release=id), True)
    same(c.kv.put("py/lock", "x", acquire=id), True)
    same(c.session.destroy(id), True)
    same(c.session.info(id)[1], None)
    eventually(lambda: c.kv.get("py/lock")[1] is None)
    refused(consul.NotFound, lambda: c.session.renew(id))


def event(c):
    id = c.event.fire("deploy", "53")["ID"]
    same(eventually(lambda: [each["ID"] for each in c.event.list("deploy")[1]]), [id])
    same(c.event.list("deploy")[1][0]["Payload"], b"53")


def query(c):
    id = c.query.create("consul", name="py", ttl="10s", nearestn=1)["ID"]
    assert id in [each["ID"] for each in c.query.list()]
    same(c.query.get(id)[0]["Service"]["Service"], "consul")
    found = c.query.execute("py", near="_agent", limit=1)
    same((found["Service"], len(found["Nodes"]), found["DNS"]["TTL"]), ("consul", 1, "10s"))
    same(c.query.explain("py")["Query"]["ID"], id)
    same(c.query.update(id, "consul", name="py", onlypassing=True), True)
    same(c.query.get(id)[0]["Service"]["OnlyPassing"], True)
    same(c.query.delete(id), True)
    assert id not in [each["ID"] for each in c.query.list()]


def coordinate(c):
    same([each["Datacenter"] for each in c.coordinate.datacenters()], ["dc1"])
    assert isinstance(c.coordinate.nodes()[1], list)


def status(c):
    assert c.status.leader() in c.status.peers()


def operator(c):
    same([each["Leader"] for each in c.operator.raft_config()["Servers"]], [True])


def acl(c):
    refused(consul.ACLDisabled, c.acl.list)


GROUPS = (kv, agent, agent_service, agent_check, catalog, health, session, event, query, coordinate, status, operator, acl)

if __name__ == "__main__":
    client = consul.Consul(host="127.0.0.1", port=int(sys.argv[1]))
    for group in GROUPS:
        try:
            group(client)
            print("PASSED", group.__name__)
        except Exception:
            print("FAILED", group.__name__, traceback.format_exc(limit=-2).strip().replace("\n", " | "))
