/* Tests of the router (host/route.c): publishing in one step, versions, withdrawing, and looking up meanwhile. */
#include "calls.h"
#include "route.h"
#include "threads.h"

enum { PLUGINS = 100, FINDERS = 3, PUBLICATIONS = 2000 };

static pyh_route *find(pyh_router *router, const char *plugin)
{
    uint64_t version;
    return pyh_router_find(router, plugin, &version);
}

static uint64_t version_of(pyh_router *router)
{
    return atomic_load(&router->version);
}

static void unknown_plugins_are_not_found(void)
{
    pyh_router *router = pyh_router_new();
    uint64_t version = 0;
    CHECK(pyh_router_find(router, "plugin", &version) == NULL);
    CHECK_EQUAL(version, version_of(router));
    CHECK(version > 0);
    CHECK(pyh_router_unref(router) == NULL);
    CHECK(pyh_router_unref(NULL) == NULL);
}

static void published_routes_are_found_by_their_name(void)
{
    pyh_router *router = pyh_router_new();
    pyh_route *routes[PLUGINS];
    char name[16];
    for (size_t i = 0; i < PLUGINS; i++) {
        snprintf(name, sizeof name, "plugin%zu", i);
        routes[i] = route_with(name, NULL, 0);
        uint64_t before = version_of(router);
        CHECK_STATUS(pyh_router_publish(router, routes[i]), PYHOST_OK);
        CHECK(version_of(router) > before);
    }
    for (size_t i = 0; i < PLUGINS; i++) {
        uint64_t version = 0;
        snprintf(name, sizeof name, "plugin%zu", i);
        pyh_route *found = pyh_router_find(router, name, &version);
        CHECK(found == routes[i]);
        CHECK_EQUAL(version, version_of(router));
        CHECK_EQUAL(found->references, 2);
        pyh_route_unref(found);
    }
    CHECK(find(router, "plugin") == NULL);
    pyh_router_unref(router);
}

static void publishing_again_replaces(void)
{
    pyh_router *router = pyh_router_new();
    pyh_route *old = route_with("plugin", NULL, 0), *new = route_with("plugin", NULL, 0);
    CHECK_STATUS(pyh_router_publish(router, old), PYHOST_OK);
    pyh_route *held = find(router, "plugin");
    uint64_t before = version_of(router);
    CHECK_STATUS(pyh_router_publish(router, new), PYHOST_OK);
    CHECK(version_of(router) > before);
    pyh_route *found = find(router, "plugin");
    CHECK(held == old && found == new);
    CHECK_EQUAL(held->references, 1); /* this test's: who has found it keeps it */
    CHECK_STRING(held->plugin, "plugin");
    CHECK_EQUAL(router->count, 1);
    pyh_route_unref(held);
    pyh_route_unref(found);
    pyh_router_unref(router);
}

static void withdrawn_plugins_are_forgotten(void)
{
    pyh_router *router = pyh_router_new();
    const char *const names[] = {"first", "second", "third"};
    for (size_t i = 0; i < CHECK_COUNT(names); i++) {
        CHECK_STATUS(pyh_router_publish(router, route_with(names[i], NULL, 0)), PYHOST_OK);
    }
    uint64_t before = version_of(router);
    pyh_router_withdraw(router, "unknown");
    CHECK_EQUAL(version_of(router), before);
    pyh_router_withdraw(router, "first");
    CHECK(version_of(router) > before);
    CHECK(find(router, "first") == NULL);
    for (size_t i = 1; i < CHECK_COUNT(names); i++) {
        pyh_route *found = find(router, names[i]);
        CHECK_STRING(found->plugin, names[i]);
        pyh_route_unref(found);
    }
    pyh_router_unref(router);
}

/* Index 0 publishes, now and then withdraws; the others look up, and what they find is whole. */
static void publish_or_find(size_t index, void *shared)
{
    pyh_router *router = shared;
    uint64_t version, last = 0;
    for (int i = 0; i < PUBLICATIONS; i++) {
        if (index > 0) {
            pyh_route *found = pyh_router_find(router, "plugin", &version);
            CHECK(version >= last);
            last = version;
            if (found != NULL) {
                CHECK(pyh_route_find(found, "second") == &found->functions[1]);
                pyh_route_unref(found);
            }
        } else if (i % 8 == 7) {
            pyh_router_withdraw(router, "plugin");
        } else {
            CHECK_STATUS(pyh_router_publish(router, route_with("plugin", NULL, 0)), PYHOST_OK);
        }
    }
}

static void looking_up_races_publishing(void)
{
    pyh_router *router = pyh_router_new();
    threads_run(1 + FINDERS, publish_or_find, router);
    CHECK_EQUAL(version_of(router), 1 + PUBLICATIONS);
    pyh_router_unref(router);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(unknown_plugins_are_not_found), CHECK_TEST(published_routes_are_found_by_their_name),
        CHECK_TEST(publishing_again_replaces),     CHECK_TEST(withdrawn_plugins_are_forgotten),
        CHECK_TEST(looking_up_races_publishing),
    };
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
