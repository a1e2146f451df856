/* The route table: what PROTOCOL.md sections 1, 2 and 6 say of paths and methods. */
#include "actors/routes.h"
#include "spec/spec.h"

static route_match_t at(uint8_t listener, http_method_t method, const char *path) {
    route_match_t m;
    routes_match(listener, method, slice_of(path), &m);
    return m;
}
static const char *verb(http_method_t method, const char *path) {
    route_match_t m = at(LISTEN_HTTP, method, path);
    return m.route && m.route->verb ? m.route->verb : "";
}

SPEC("finds a row by method and path") {
    CHECK_TEXT(verb(HTTP_POST, "/api/auth/login"), 5, "login");
    CHECK_TEXT(verb(HTTP_PUT, "/api/users/me"), 6, "update");
    CHECK_INT(at(LISTEN_HTTP, HTTP_POST, "/api/messages").route->run, RUN_SEND);
}
SPEC("lets a literal segment win over an id") {
    CHECK_TEXT(verb(HTTP_GET, "/api/users/search"), 6, "search");
    CHECK_TEXT(verb(HTTP_GET, "/api/users/7"), 3, "get");
    route_match_t m = at(LISTEN_HTTP, HTTP_DELETE, "/api/users/me");
    CHECK(m.known && !m.route);
    CHECK_TEXT(m.allow, strlen(m.allow), "GET, HEAD, PUT");
}
SPEC("gives the segments that stand for ids, in order") {
    route_match_t m = at(LISTEN_HTTP, HTTP_PUT, "/api/conversations/71/members/35/role");
    CHECK_TEXT(m.ids[0].at, m.ids[0].len, "71");
    CHECK_TEXT(m.ids[1].at, m.ids[1].len, "35");
}
SPEC("ignores one trailing slash, not two") {
    CHECK(at(LISTEN_HTTP, HTTP_GET, "/api/users/me/").route);
    CHECK(!at(LISTEN_HTTP, HTTP_GET, "/api/users/me//").known);
}
SPEC("answers HEAD where GET is, and names the methods of a known path") {
    CHECK(at(LISTEN_HTTP, HTTP_HEAD, "/healthz").route);
    route_match_t m = at(LISTEN_HTTP, HTTP_DELETE, "/api/auth/login");
    CHECK(m.known && !m.route);
    CHECK_TEXT(m.allow, strlen(m.allow), "POST");
}
SPEC("[1] serves on each listener its own paths") {
    CHECK(at(LISTEN_WS, HTTP_GET, "/health").route && !at(LISTEN_HTTP, HTTP_GET, "/health").known);
    CHECK(at(LISTEN_WS, HTTP_GET, "/stats").route && !at(LISTEN_HTTP, HTTP_GET, "/stats").known);
    CHECK(!at(LISTEN_WS, HTTP_GET, "/api/users/me").known);
    CHECK(at(LISTEN_HTTP, HTTP_GET, "/ws").route && at(LISTEN_WS, HTTP_GET, "/ws").route);
    CHECK(at(LISTEN_HTTP, HTTP_GET, "/debug/x/y").route);
    CHECK(!at(LISTEN_HTTP, HTTP_GET, "/debugger").known);
}
SPEC("knows what no static file may take") {
    CHECK(routes_reserved(SLICE("/api")) && routes_reserved(SLICE("/api/x")));
    CHECK(!routes_reserved(SLICE("/apis")) && !routes_reserved(SLICE("/login")));
    CHECK(!routes_reserved(SLICE("/HEALTHZ")));
}
SPEC("a literal segment wins over an id: GET of the upload path is no file") {
    route_match_t m = at(LISTEN_HTTP, HTTP_GET, "/api/files/upload");
    CHECK(m.known && !m.route);
    CHECK_INT(at(LISTEN_HTTP, HTTP_GET, "/api/files/7").route->row, 49);
    CHECK_INT(at(LISTEN_HTTP, HTTP_HEAD, "/api/files/blob/7").route->row, 47);
}
SPEC("has a text for every id and a unique method for every path") {
    size_t n;
    const route_t *all = routes_all(&n);
    for (size_t i = 0; i < n; i++) {
        int ids = 0;
        for (const char *p = all[i].path; *p; p++)
            ids += *p == '{';
        for (int k = 0; k < ids && all[i].auth != AUTH_LINK; k++)
            CHECK(all[i].id_text[k]);
        for (size_t k = 0; k < i; k++)
            CHECK(strcmp(all[k].path, all[i].path) != 0 || all[k].method != all[i].method);
    }
}
SPEC_MAIN
