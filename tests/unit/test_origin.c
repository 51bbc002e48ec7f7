/* Addresses, hosts, pages and proxies, as far as tests over sockets do not show them (tests/http/test_gate.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/forwarded.h"
#include "server/origin.h"

#include <cmocka.h> /* last: it has a macro fail() */

/* "Name: value\n..." as headers. */
static struct head head_of(const char *text)
{
    struct head h = { .method = "GET", .path = "/", .version = "HTTP/1.1" };
    while (*text) {
        size_t line = strcspn(text, "\n"), name = strcspn(text, ":");
        size_t skip = name + 1 + (text[name + 1] == ' ');
        h.header[h.n_headers].name = (struct str){ text, name };
        h.header[h.n_headers++].value = (struct str){ text + skip, line - skip };
        text += line + (text[line] == '\n');
    }
    return h;
}

static struct ip ip_of(const char *text)
{
    struct ip ip;
    if (!ip_parse(&ip, str_z(text)))
        fail_msg("%s is no address", text);
    return ip;
}

static void test_addresses_are_read_as_nobody_else_reads_them(void **state)
{
    static const char *const none[] = { "", "127.1", "0127.0.0.1", "1.2.3.4.5", "1.2.3", "256.0.0.1", "::1%lo", "[::1]",
                                        ":::", "1.2.3.4 ", "2001:db8::1::2", "0x7f000001", "2130706433" };
    char text[IP_TEXT_ROOM];
    struct ip ip, mapped = ip_of("::ffff:10.0.0.1"), plain = ip_of("10.0.0.1");
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        if (ip_parse(&ip, str_z(none[i])))
            fail_msg("'%s' was read", none[i]);
    assert_false(ip_parse(&ip, (struct str){ "1.2.3.4\0", 8 }));
    assert_true(ip_same(&mapped, &plain));
    ip_text(&mapped, text);
    assert_string_equal(text, "10.0.0.1");
    ip = ip_of("2001:DB8:0::1");
    ip_text(&ip, text);
    assert_string_equal(text, "2001:db8::1");
    ip = ip_of("127.255.0.1");
    assert_true(ip_is_loopback(&ip));
    ip = ip_of("::2");
    assert_false(ip_is_loopback(&ip));
}

static void test_a_network_has_the_addresses_that_begin_as_it_does(void **state)
{
    static const struct {
        const char *network, *in, *out;
    } rows[] = { { "10.0.0.0/8", "10.255.0.1", "11.0.0.0" }, { "10.1.2.3", "10.1.2.3", "10.1.2.4" },
                 { "192.168.1.128/25", "192.168.1.200", "192.168.1.127" }, { "0.0.0.0/0", "8.8.8.8", "::1" },
                 { "2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1" }, { "::/0", "fe80::1", "10.0.0.1" },
                 { "10.0.0.77/30", "10.0.0.78", "10.0.0.80" }, { "::1", "::1", "::2" } };
    static const char *const none[] = { "", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8x", "::/129",
                                        "10.0.0.0/8/8", "name", "10.0.0.0/ 8", "10.0.0.0/99999999999" };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct network n;
        struct ip in = ip_of(rows[i].in), out = ip_of(rows[i].out);
        if (!network_parse(&n, rows[i].network) || !network_has(&n, &in) || network_has(&n, &out))
            fail_msg("%s", rows[i].network);
    }
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        struct network n;
        if (network_parse(&n, none[i]))
            fail_msg("'%s' was read", none[i]);
    }
}

static void test_a_host_has_a_name_and_perhaps_a_port(void **state)
{
    static const struct {
        const char *text, *host; /* host NULL: it is none */
        int port;
    } rows[] = { { "localhost", "localhost", -1 }, { "localhost:8080", "localhost", 8080 }, { "a.b.:1", "a.b", 1 },
                 { "[::1]:80", "::1", 80 }, { "[::1]", "::1", -1 }, { "my_app-1:0", "my_app-1", 0 }, { "a:", "a", -1 },
                 { "", "", -1 }, { ".", ".", -1 }, { "a:65536", NULL, 0 }, { "a:+1", NULL, 0 }, { ":80", NULL, 0 },
                 { "::1", NULL, 0 }, { "[1.2.3.4]", NULL, 0 }, { "[::1", NULL, 0 }, { "[]", NULL, 0 },
                 { "[::1]x", NULL, 0 }, { "a b", NULL, 0 }, { "a@b", NULL, 0 }, { "a/b", NULL, 0 },
                 { "\xc3\xa9", NULL, 0 },
                 { "a%2e", NULL, 0 }, { "a:1:2", NULL, 0 }, { "*", NULL, 0 } };
    char longest[300];
    struct authority a;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bool read = authority_read(&a, str_z(rows[i].text));
        if (read != (rows[i].host != NULL) || (read && (!str_eq_z(a.host, rows[i].host) || a.port != rows[i].port)))
            fail_msg("'%s': %d '%.*s' %d", rows[i].text, read, (int)a.host.len, a.host.ptr, a.port);
    }
    memset(longest, 'a', sizeof longest);
    assert_true(authority_read(&a, (struct str){ longest, 255 }));
    assert_false(authority_read(&a, (struct str){ longest, 256 }));
}

static const char *const hosts[] = { "chat.example", "*.lan", "10.0.0.9", "2001:db8::9" };
static const char *const origins[] = { "https://chat.example", "http://lan:*", "ionic://*" };
static const struct origin_rules rules = { .bound = "192.168.1.5", .hosts = hosts, .n_hosts = ARRAY_LEN(hosts),
                                           .origins = origins, .n_origins = ARRAY_LEN(origins) };

static int ask(const char *headers, const char *path, bool any_host)
{
    struct ip local = ip_of("192.168.1.5");
    struct arrival a = { &rules, &local, any_host };
    struct head h = head_of(headers);
    struct str authority;
    struct problem p = { 0 };
    h.path = path;
    origin_target(&h, &authority);
    bool ok = origin_guard(&a, &h, authority, &p);
    assert_int_equal(ok, p.code == PROBLEM_none);
    return (int)p.code;
}

static void test_hosts_and_pages_are_told_apart(void **state)
{
    enum { OK = PROBLEM_none, HOST = PROBLEM_foreign_host, PAGE = PROBLEM_foreign_origin, BAD = PROBLEM_bad_framing };
    static const struct {
        const char *headers, *path;
        int code;
    } rows[] = {
        { "Host: 192.168.1.5:8080", "/", OK }, { "Host: 192.168.1.6", "/", HOST }, { "Host: CHAT.example", "/", OK },
        { "Host: x.lan", "/", OK }, { "Host: lan", "/", HOST }, { "Host: .lan", "/", HOST },
        { "Host: xlan", "/", HOST },
        { "Host: [2001:db8:0::9]", "/", OK }, { "Host: 10.0.0.9", "/", OK }, { "Host: 010.0.0.9", "/", HOST },
        { "", "/", HOST }, { "Host: localhost", "http://localhost/x", OK },
        { "Host: localhost", "HTTPS://evil/x", HOST },
        { "Host: localhost", "http://", HOST }, { "Host: localhost", "http://a b/", BAD },
        { "Host: localhost\nOrigin: http://lan:3000", "/", OK },
        { "Host: localhost\nOrigin: https://lan:3000", "/", PAGE },
        { "Host: localhost\nOrigin: ionic://localhost", "/", OK }, { "Host: localhost\nOrigin: ionic:", "/", PAGE },
        { "Host: chat.example\nOrigin: http://chat.example", "/", OK }, /* the same host */
        { "Host: localhost\nOrigin: http://chat.example", "/", PAGE },  /* another scheme than the one allowed */
        { "Host: chat.example:443\nOrigin: https://chat.example", "/", OK },
        { "Host: x.lan:8080\nOrigin: https://x.lan:8080", "/", OK },
        { "Host: x.lan:8080\nOrigin: http://x.lan", "/", PAGE },
        { "Host: x.lan\nOrigin: http://x.lan.\nSec-Fetch-Site: same-origin", "/", OK },
        { "Host: x.lan\nOrigin: http://x.lan\nSec-Fetch-Site: CROSS-SITE", "/", PAGE },
        { "Host: x.lan\nSec-Fetch-Site: none\nSec-Fetch-Site: cross-site", "/", PAGE },
        { "Host: localhost\nOrigin: app://x\nOrigin: app://x", "/", BAD },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (ask(rows[i].headers, rows[i].path, false) != rows[i].code)
            fail_msg("%s %s: %d", rows[i].path, rows[i].headers, ask(rows[i].headers, rows[i].path, false));
    assert_int_equal(ask("Host: evil.example", "/health", true), OK);
    assert_int_equal(ask("Host: evil.example\nOrigin: http://evil.example", "/health", true), PAGE);
    assert_int_equal(ask("Host: localhost", "http://evil.example/health", true), HOST);
}

static struct ip client_of(const char *headers, const char *peer, struct problem *p)
{
    static const char *const texts[] = { "127.0.0.1", "10.0.0.0/8", "unix" };
    struct proxies t;
    hearth_error err = { 0 };
    struct head h = head_of(headers);
    struct ip from = { 0 }, client = { 0 };
    assert_true(proxies_read(&t, texts, ARRAY_LEN(texts), &err));
    *p = (struct problem){ 0 };
    if (*peer)
        from = ip_of(peer);
    bool ok = forwarded_client(&t, &h, &from, &client, p);
    assert_int_equal(ok, p->code == PROBLEM_none);
    return client;
}

static void test_the_client_is_the_last_that_no_trusted_proxy_is(void **state)
{
    static const struct {
        const char *peer, *headers, *client; /* client "": the Unix socket */
    } rows[] = {
        { "203.0.113.1", "X-Forwarded-For: 198.51.100.1", "203.0.113.1" },
        { "127.0.0.1", "", "127.0.0.1" },
        { "127.0.0.1", "X-Forwarded-For: 198.51.100.1", "198.51.100.1" },
        { "127.0.0.1", "x-forwarded-for: 1.1.1.1, 198.51.100.1 ,10.2.3.4", "198.51.100.1" },
        { "127.0.0.1", "X-Forwarded-For: 1.1.1.1\nX-Forwarded-For: 2.2.2.2", "2.2.2.2" },
        { "127.0.0.1", "X-Forwarded-For: 10.0.0.1, 10.0.0.2", "10.0.0.1" },
        { "127.0.0.1", "X-Forwarded-For: 1.1.1.1, unknown, 10.0.0.2", "10.0.0.2" },
        { "127.0.0.1", "X-Forwarded-For: ,, ,", "127.0.0.1" },
        { "127.0.0.1", "X-Forwarded-For: [2001:db8::1]:443", "2001:db8::1" },
        { "127.0.0.1", "X-Forwarded-For: 2001:db8::1", "2001:db8::1" },
        { "127.0.0.1", "Forwarded: for=1.1.1.1;proto=http, by=x; For=\"2.2.2.2:80\"", "2.2.2.2" },
        { "127.0.0.1", "Forwarded: for=\"[2001:db8::1]\"", "2001:db8::1" },
        { "127.0.0.1", "Forwarded: for=1.1.1.1, for=_hidden", "127.0.0.1" },
        { "127.0.0.1", "Forwarded: for=1.1.1.1;host=\"a, for=3.3.3.3\"", "1.1.1.1" },
        { "127.0.0.1", "Forwarded: host=\"a\\\", for=3.3.3.3", NULL },
        { "127.0.0.1", "Forwarded: for=\", for=3.3.3.3", NULL },
        { "127.0.0.1", "X-Forwarded-For: \", 3.3.3.3", "3.3.3.3" },
        { "127.0.0.1", "X-Forwarded-For: \"1.1.1.1, 3.3.3.3", "3.3.3.3" },
        { "127.0.0.1", "Forwarded: for=1.1.1.1\nX-Forwarded-For: 1.1.1.1", "1.1.1.1" },
        { "127.0.0.1", "Forwarded: for=1.1.1.1\nX-Forwarded-For: 2.2.2.2", NULL },
        { "127.0.0.1", "Forwarded: for=1.1.1.1\nX-Forwarded-For: ", NULL },
        { "", "X-Forwarded-For: 1.1.1.1", "1.1.1.1" },
        { "", "X-Forwarded-For: x", "" },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[IP_TEXT_ROOM];
        struct problem p;
        struct ip client = client_of(rows[i].headers, rows[i].peer, &p);
        ip_text(&client, text);
        bool right = rows[i].client ? p.code == PROBLEM_none && strcmp(text, rows[i].client) == 0
                                    : p.code == PROBLEM_bad_framing;
        if (!right)
            fail_msg("%s %s: %s %s", rows[i].peer, rows[i].headers, text, p.message);
    }
    char many[2000] = "X-Forwarded-For: 1.1.1.1";
    for (int i = 0; i < 100; i++)
        strcat(many, ", 10.0.0.1");
    struct problem p;
    struct ip client = client_of(many, "127.0.0.1", &p), last = ip_of("10.0.0.1");
    assert_true(p.code == PROBLEM_none && ip_same(&client, &last)); /* the last sixteen are looked at */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_are_read_as_nobody_else_reads_them),
        cmocka_unit_test(test_a_network_has_the_addresses_that_begin_as_it_does),
        cmocka_unit_test(test_a_host_has_a_name_and_perhaps_a_port),
        cmocka_unit_test(test_hosts_and_pages_are_told_apart),
        cmocka_unit_test(test_the_client_is_the_last_that_no_trusted_proxy_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
