/* vm_sort: table.sort of scripts. The standard one calls the comparison where no handler can be
 * interrupted, and sorts a long list without any instruction, so nothing could stop it. This one is
 * a merge sort that goes on after each comparison where it was: a handler is preempted in it, and
 * may even wait in a comparison. It sorts a copy and writes back at the end, so a comparison that
 * looks at the list sees it unsorted; one that contradicts itself gives some order. */
#include "script/vm_open.h"

#define SORT_MAX 100000 /* entries */
#define LOOK     63     /* mask: moves between two looks at the watchdog's flag */

/* Two neighbouring runs of FROM, [i, mid) and [j, end), are merged into TO at k. */
typedef struct sort {
    lua_Integer n, width, i, mid, j, end, k;
} sort_t;
enum { LIST = 1, LESS, FROM, TO, STATE };

static int go_on(lua_State *L);

static lua_Integer least(lua_Integer a, lua_Integer b) {
    return a < b ? a : b;
}

/* From `first` on; behind the last run the next round begins, with runs twice as long. */
static void next_runs(lua_State *L, sort_t *s, lua_Integer first) {
    if (first > s->n) {
        lua_pushvalue(L, FROM);
        lua_copy(L, TO, FROM);
        lua_replace(L, TO);
        s->width *= 2;
        first = 1;
    }
    s->i = s->k = first;
    s->j = s->mid = least(first + s->width, s->n + 1);
    s->end = least(s->mid + s->width, s->n + 1);
}

static void move(lua_State *L, sort_t *s, bool right) {
    lua_rawgeti(L, FROM, right ? s->j++ : s->i++);
    lua_rawseti(L, TO, s->k++);
}

/* The comparison has answered after a yield. */
static int answered(lua_State *L, int status, lua_KContext ctx) {
    (void)status;
    (void)ctx;
    move(L, lua_touserdata(L, STATE), lua_toboolean(L, -1));
    lua_settop(L, STATE);
    return go_on(L);
}

static int paused(lua_State *L, int status, lua_KContext ctx) {
    (void)status;
    (void)ctx;
    return go_on(L);
}

/* Does the right one go first? Only when it is less: equal ones keep their order. */
static bool right_first(lua_State *L, const sort_t *s) {
    bool own = !lua_isnil(L, LESS);
    if (own)
        lua_pushvalue(L, LESS);
    lua_rawgeti(L, FROM, s->j);
    lua_rawgeti(L, FROM, s->i);
    if (own)
        lua_callk(L, 2, 1, 0, answered);
    bool right = own ? lua_toboolean(L, -1) : lua_compare(L, -2, -1, LUA_OPLT);
    lua_settop(L, STATE);
    return right;
}

static int write_back(lua_State *L, const sort_t *s) {
    for (lua_Integer i = 1; i <= s->n; i++) {
        lua_rawgeti(L, FROM, i);
        lua_rawseti(L, LIST, i);
    }
    return 0;
}

static int go_on(lua_State *L) {
    sort_t *s = lua_touserdata(L, STATE);
    while (s->width < s->n) {
        if (s->k == s->end)
            next_runs(L, s, s->end);
        else if (s->i == s->mid || s->j == s->end)
            move(L, s, s->i == s->mid);
        else
            move(L, s, right_first(L, s));
        if ((s->k & LOOK) == 0 && vm_pause(L))
            return lua_yieldk(L, 0, 0, paused);
    }
    return write_back(L, s);
}

int vm_table_sort(lua_State *L) {
    lua_Integer n = (lua_Integer)lua_rawlen(L, LIST);
    if (n > SORT_MAX)
        return luaL_error(L, "too many entries to sort (%d)", (int)n);
    if (!lua_isnoneornil(L, LESS))
        luaL_checktype(L, LESS, LUA_TFUNCTION);
    lua_settop(L, LESS);
    lua_createtable(L, (int)n, 0);
    lua_createtable(L, (int)n, 0);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, LIST, i);
        lua_rawseti(L, FROM, i);
    }
    sort_t *s = lua_newuserdatauv(L, sizeof *s, 0);
    *s = (sort_t){.n = n, .width = 1};
    next_runs(L, s, 1);
    return go_on(L);
}
