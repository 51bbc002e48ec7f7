/* How many connections an address has, whoever else comes and goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "server/addresses.h"

#include <cmocka.h> /* last: it has a macro fail() */

static struct address of(const char *text)
{
    struct ip ip;
    struct address a;
    if (!ip_parse(&ip, str_z(text)))
        fail_msg("%s", text);
    address_of(&a, &ip);
    return a;
}

static bool same(const char *a, const char *b)
{
    struct address x = of(a), y = of(b);
    return x.v6 == y.v6 && memcmp(x.bytes, y.bytes, 8) == 0;
}

static void addresses_are_read_as_far_as_they_tell_clients_apart(void **state)
{
    (void)state;
    assert_true(same("10.0.0.1", "::ffff:10.0.0.1"));
    assert_false(same("10.0.0.1", "10.0.0.2"));
    assert_true(same("2001:db8::1", "2001:db8::ffff:2"));
    assert_false(same("2001:db8::1", "2001:db8:0:1::1"));
    assert_true(of("10.0.0.1").counted && of("2001:db8::1").counted);
    assert_false(of("127.0.0.1").counted || of("127.9.9.9").counted || of("::1").counted
                 || of("::ffff:127.0.0.1").counted);
}

static void counts_stay_right(void **state)
{
    enum { N = 200, CONNECTIONS = 300, TURNS = 200000, MOST = 5 };
    struct addresses a;
    struct rng r = { 7, 0 };
    int n[N] = { 0 }, total = 0;
    (void)state;
    assert_true(addresses_init(&a, CONNECTIONS, MOST));
    for (int turn = 0; turn < TURNS; turn++) {
        uint32_t i = (uint32_t)rng_below(&r, N);
        struct address from = { .bytes = { (uint8_t)i, 10 }, .v6 = i % 2, .counted = true };
        if (addresses_may(&a, &from) != (n[i] < MOST))
            fail_msg("turn %d: address %u has %d", turn, i, n[i]);
        if (n[i] < MOST && total < CONNECTIONS && rng_below(&r, 2)) {
            addresses_add(&a, &from);
            n[i]++;
            total++;
        } else if (n[i] > 0) {
            addresses_remove(&a, &from);
            n[i]--;
            total--;
        }
    }
    addresses_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_read_as_far_as_they_tell_clients_apart),
        cmocka_unit_test(counts_stay_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
