"""Who may ask: bind x key x Host x Origin x Sec-Fetch-Site x method, against the rules as they are written here.

`expected` is the rules of docs/operating.md in Python, and knows nothing of the program. Every server is asked each
Host with each Origin (method, key and Sec-Fetch-Site in turn), each Host with each method and key, and each Origin with
each Sec-Fetch-Site and method.
"""

import collections
import ipaddress
import itertools
import re
import socket

import pytest

from serving import SANITIZED, TLS, Gate, outer_address

USER, ADMIN = "sk-gate-user", "sk-gate-admin"

# ---- the rules ----

Asked = collections.namedtuple("Asked", "host origin site method path key")
Bind = collections.namedtuple("Bind", "name bound reach hosts origins keys options tls")

LOOPBACK = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")]
LOCAL_SCHEMES = {"app", "file", "tauri", "vscode-webview"}
PROBES = {"/health", "/v1/health", "/ready"}
EXISTS = {"/health": ["GET"], "/ready": ["GET"], "/v1/models": ["GET"], "/metrics": ["GET"], "/tokenize": ["POST"],
          "/hearth/requests": ["DELETE"]}
NEEDS_KEY = {"/metrics", "/tokenize", "/hearth/requests"}
NEEDS_ADMIN = {"/hearth/requests"}


def address(text):
    """An IPv4 address inside of an IPv6 one is the IPv4 one."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def split_host(text):
    """(name or address, port or None) of a Host; None: it is none."""
    found = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]*))(?::(\d*))?", text)
    if not found or (found[3] and int(found[3]) > 65535) or (text[:1] == ":"):
        return None
    if found[1] and not (":" in found[1] and address(found[1])):
        return None
    name = found[1] or found[2].lower().removesuffix(".")
    return address(name) or name, int(found[3]) if found[3] else None


def loops(host):
    return host == "localhost" or (not isinstance(host, str) and any(host in net for net in LOOPBACK))


def is_ours(bind, host):
    """Host is the address it was bound to, the one the connection came in at, localhost, or configured."""
    if any(name == "*" or (name[0] == "*" and str(host).endswith(name[1:])) or host in (name, address(name))
           for name in bind.hosts):
        return True
    here = {address(bind.bound) or bind.bound, address(bind.reach)} - {None}
    return host != "" and (loops(host) or host in here)


def split_origin(text):
    """(scheme, host, port) of an Origin; host None where the scheme has no hosts; None: it is none."""
    found = re.fullmatch(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", text)
    if not found:
        return None
    scheme = found[1].lower()
    if scheme not in ("http", "https"):
        return scheme, None, None
    at = split_host(found[2]) if found[2] else None
    if at is None or at[0] == "":
        return scheme, None, None
    return scheme, at[0], at[1] if at[1] is not None else {"http": 80, "https": 443}[scheme]


def listed(bind, origin):
    """Localhost on any port, schemes of desktop programs and editors, and what is configured."""
    at = split_origin(origin)
    if "*" in bind.origins or origin.lower() in bind.origins:
        return True
    if at is None:
        return False
    if at[0] in LOCAL_SCHEMES or (at[1] is not None and loops(at[1])):
        return True
    for allowed in bind.origins:
        want = split_origin(allowed.removesuffix(":*")) if "://" in allowed else None
        if want and want[1] is not None and want[:2] == at[:2] and (allowed.endswith(":*") or want[2] == at[2]):
            return True
    return False


def same(bind, origin, host):
    at, here = split_origin(origin), split_host(host)
    if at is None or at[1] is None or here is None or not is_ours(bind, here[0]):
        return False
    port = here[1] if here[1] is not None else {"http": 80, "https": 443}[at[0]]
    return at[1] == here[0] and at[2] == port


def expected(bind, ask):
    """(status, code)"""
    if ask.path not in PROBES:
        host = split_host(ask.host)
        if host is None:
            return 400, "bad_framing"
        if not is_ours(bind, host[0]):
            return 421, "foreign_host"
    cross = ask.site == "cross-site"
    if ask.origin is None:
        if cross and "*" not in bind.origins:
            return 403, "foreign_origin"
    elif not listed(bind, ask.origin) and (cross or not same(bind, ask.origin, ask.host)):
        return 403, "foreign_origin"
    if ask.method == "OPTIONS" and ask.origin is not None:
        return 204, None
    if ask.path not in EXISTS:
        return 404, "not_found"
    if ask.method.replace("HEAD", "GET") not in EXISTS[ask.path]:
        return 405, "method_not_allowed"
    if ask.path in NEEDS_KEY and bind.keys and ask.key not in (USER, ADMIN):
        return 401, "invalid_api_key"
    local = bind.reach is None or loops(address(bind.reach))
    if ask.path in NEEDS_ADMIN and not (ask.key == ADMIN if bind.keys else local):
        return 403, "admin_needed"
    return 200, None


# ---- what is asked ----

HOSTS = ["localhost", "localhost:PORT", "LocalHost:1", "localhost.:80", "localhost:", "127.0.0.1:PORT", "127.0.0.2",
         "[::1]:PORT", "[::ffff:127.0.0.1]", "0.0.0.0:PORT", "REACH:PORT",
         "evil.example", "evil.example:PORT", "localhost.evil.example", "127.0.0.1.evil.example", "notlocalhost",
         "10.244.1.7:8080",                # a pod, as a Kubernetes probe calls it
         "host.docker.internal:8080",      # this machine, as containers call it
         "hearth:8080",                    # a container, as others in its network call it
         "hearth.apps.svc.cluster.local",  # a service of Kubernetes
         "svc.cluster.local", "chat.example", "2130706433", "0x7f.1", "",
         "user@localhost", "a b", "localhost:99999", "localhost:x", "[::1", "::1", "[127.0.0.1]", ":80", "localhost/x"]
ORIGINS = [None, "null", "http://localhost:3000", "https://LOCALHOST", "http://127.0.0.1:5173", "http://[::1]:5173",
           "app://obsidian.md", "file://", "tauri://localhost", "vscode-webview://0a1b2c", "http://HOST",
           "https://HOST",
           "https://chat.example", "https://chat.example:443", "https://chat.example:444", "http://chat.example",
           "http://lan.example:3000", "https://evil.example", "http://localhost.evil.example",
           "http://localhost@evil.example", "http://evil.example#localhost", "https://evil.example:80/app://x",
           "chrome-extension://abcdef", "evil", "http://", "app:obsidian", "xapp://x", "", "*"]
SITES = [None, "none", "same-origin", "same-site", "cross-site"]
METHODS = [("GET", "/health"), ("HEAD", "/ready"), ("GET", "/v1/models"), ("GET", "/metrics"), ("POST", "/tokenize"),
           ("OPTIONS", "/tokenize"), ("DELETE", "/hearth/requests"), ("HEAD", "/v1/models"), ("GET", "/nothing"),
           ("DELETE", "/health"), ("GET", "/tokenize")]
KEYS = [None, "sk-gate-other", USER, ADMIN]


def questions():
    """What varies least goes in turn."""
    turn = itertools.count()
    for host, origin in itertools.product(HOSTS, ORIGINS):
        n = next(turn)
        site = SITES[n * 7 // 3 % len(SITES)]
        yield host, origin, site, METHODS[n * 5 % len(METHODS)], KEYS[n * 3 // 5 % len(KEYS)]
    for host, method, key in itertools.product(HOSTS, METHODS, KEYS):
        yield host, None, SITES[next(turn) % len(SITES)], method, key
    for origin, site, method in itertools.product(ORIGINS, SITES, METHODS):
        yield "localhost:PORT", origin, site, method, ADMIN


# ---- the servers ----

def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as s:
            s.bind(("::1", 0))
            return True
    except OSError:
        return False


OUTER = outer_address()
WIDE = OUTER or "127.0.0.1"
NAMES = ["host.docker.internal", "hearth", "*.svc.cluster.local", "chat.example"]
SITES_ALLOWED = ["https://chat.example", "http://lan.example:*", "null"]
BINDS = [
    Bind("loopback", "127.0.0.1", "127.0.0.1", [], [], False, [], False),
    Bind("loopback-keys", "127.0.0.1", "127.0.0.1", [], [], True, [], False),
    Bind("localhost-names", "localhost", "127.0.0.1", NAMES, SITES_ALLOWED, False, [], False),
    Bind("ipv6", "::1", "::1", [], [], False, [], False),
    Bind("wide-keys", "0.0.0.0", WIDE, [], [], True, [], False),
    Bind("wide-open", "0.0.0.0", WIDE, [], [], False, ["--insecure-no-auth"], False),
    Bind("wide-names", "0.0.0.0", WIDE, NAMES, SITES_ALLOWED, True, [], False),
    Bind("address", WIDE, WIDE, [], [], True, [], False),
    Bind("any-host", "0.0.0.0", WIDE, ["*"], [], True, [], False),
    Bind("any-page", "127.0.0.1", "127.0.0.1", [], ["*"], True, [], False),
    Bind("unix", "unix", None, ["hearth"], [], False, [], False),
    Bind("tls", "127.0.0.1", "127.0.0.1", ["chat.example"], [], True, TLS, True),
]


def words_of(ask):
    head = [f"{ask.method} {ask.path} HTTP/1.1", f"Host: {ask.host}"]
    if ask.origin is not None:
        head.append(f"Origin: {ask.origin}")
    if ask.site is not None:
        head.append(f"Sec-Fetch-Site: {ask.site}")
    if ask.key is not None:
        head.append(f"Authorization: Bearer {ask.key}")
    if ask.method == "OPTIONS":
        head.append("Access-Control-Request-Method: POST")
    body = '{"content":"a"}' if ask.method == "POST" else ""
    if body:
        head.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(head) + "\r\n\r\n" + body).encode()


def check(bind, ask, answer):
    status, headers, body = answer
    want, code = expected(bind, ask)
    assert status == want, (bind, ask, want, code, answer)
    if code and ask.method != "HEAD":
        assert f'"code":"{code}"' in body, (bind, ask, code, body)
    flag = {"foreign_host": "--allow-host", "foreign_origin": "--allow-origin", "admin_needed": "--api-key-file"}
    if code in flag and ask.method != "HEAD":
        assert flag[code] in body, body
    reads = headers.get("access-control-allow-origin")
    if ask.origin is None or code == "foreign_origin":
        assert reads is None, (bind, ask, headers)
    elif code not in ("foreign_host", "bad_framing"):
        assert reads == ("*" if "*" in bind.origins else ask.origin), (bind, ask, headers)
    assert "access-control-allow-credentials" not in headers


@pytest.fixture(scope="module")
def key_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("gate") / "keys"
    path.write_text(f"{USER}\n{ADMIN} admin requests=8\n", encoding="ascii")
    return str(path)


n_cells = 0


@pytest.mark.parametrize("bind", BINDS, ids=lambda b: b.name)
def test_the_rules_hold_in_every_cell(bind, key_file, tmp_path):
    global n_cells
    if bind.name == "ipv6" and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    options = [*bind.options, *(["--api-key-file", key_file] if bind.keys else [])]
    options += [word for name in bind.hosts for word in ("--allow-host", name)]
    options += [word for name in bind.origins for word in ("--allow-origin", name)]
    host = f"unix:{tmp_path}/hearth.sock" if bind.name == "unix" else bind.bound
    with Gate(*options, host=host, reach=bind.reach, tls=bind.tls) as gate:
        shown = f"[{bind.reach}]" if ":" in (bind.reach or "") else bind.reach or "localhost"
        every = 8 if SANITIZED else 1
        for host, origin, site, (method, path), key in itertools.islice(questions(), None, None, every):
            host = host.replace("PORT", str(gate.port or 80)).replace("REACH", shown)
            if origin is not None:
                origin = origin.replace("HOST", host) if "LOCALHOST" not in origin else origin
            ask = Asked(host, origin, site, method, path, key)
            if ask.origin is not None and (ask.origin != ask.origin.strip() or "\t" in ask.origin):
                continue
            check(bind, ask, gate.ask(words_of(ask), method == "HEAD"))
            n_cells += 1


def test_there_are_at_least_two_thousand_cells():
    if n_cells == 0:
        pytest.skip("the table was not asked")
    assert n_cells >= 2000, n_cells
