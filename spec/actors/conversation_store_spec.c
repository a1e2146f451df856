/* What the conversation promises on the real store: its operations (schema/sqlite/ops/
 * conversation.sql) do what the actor takes them to do, and everything is there again after a
 * restart. */
#include "port/store.h"
#include "spec/actors/conversation_stage.h"
#include <sqlite3.h>
#include <unistd.h>

static char dir[64], path[96];
static store_t *store;

static void up(void) {
    char fault[400] = "", url[120];
    stage_make();
    snprintf(url, sizeof url, "sqlite:%s", path);
    conf_set(conf, "store.url", slice_of(url), fault, sizeof fault);
    store = store_open(rt, conf, fault, sizeof fault);
    if (!store)
        printf("store: %s\n", fault);
    stage_start(store);
}
static void down(void) {
    stage_stop();
    store_close(store);
    stage_free();
}

/* From outside, as the rules would do by their own operations. Gives the first column of the first
 * row, -1 for none. */
static int64_t sql(const char *text) {
    sqlite3 *db;
    sqlite3_stmt *st;
    int64_t value = -1;
    sqlite3_open(path, &db);
    sqlite3_busy_timeout(db, WAIT_MS);
    while (text && *text) {
        if (sqlite3_prepare_v2(db, text, -1, &st, &text) != SQLITE_OK)
            printf("sql: %s\n", sqlite3_errmsg(db));
        if (!st)
            break;
        if (sqlite3_step(st) == SQLITE_ROW)
            value = sqlite3_column_int64(st, 0);
        sqlite3_finalize(st);
    }
    sqlite3_close(db);
    return value;
}

static void open_stage(int type) {
    snprintf(dir, sizeof dir, "/tmp/parley-conv-XXXXXX");
    if (!mkdtemp(dir))
        printf("no directory\n");
    snprintf(path, sizeof path, "%s/t.db", dir);
    up();
    sql("INSERT INTO conversation (id, type, member_limit, created_ms) VALUES (71, 2, 500, 1);"
        "INSERT INTO member (conversation, user, role, joined_ms) VALUES (71, 40, 'member', 1),"
        "(71, 28, 'owner', 1), (71, 35, 'member', 1);");
    if (type == 1)
        sql("UPDATE conversation SET type = 1, low = 28, high = 35;"
            "DELETE FROM member WHERE user = 40");
}

static void close_stage(void) {
    char command[100];
    down();
    snprintf(command, sizeof command, "rm -r %s", dir);
    if (system(command))
        printf("left behind: %s\n", dir);
}

SPEC("messages are stored with seqs, repeats found, and all of it outlives the process") {
    open_stage(2);
    for (int i = 0; i < 50; i++)
        send_n(i % 2 ? 28 : 35, i);
    SENT(send_as(40, "last"), 51);
    SENT(send_n(35, 0), 1);
    CHECK(answer(51)->sent.repeat);
    CHECK_INT(sql("SELECT count(*) FROM message WHERE conversation = 71"), 51);
    CHECK_INT(sql("SELECT max(seq) FROM message"), 51);
    CHECK(logged("hub0 message 51 by 40 at 'd1' to 3"));
    down();
    up();
    SENT(send_n(28, 1), 2);
    CHECK(answer(0)->sent.repeat);
    SENT(send_as(28, "new"), 52);
    CHECK_INT(sql("SELECT content = '{\"text\":{\"text\":\"hi\"}}' FROM message WHERE seq = 52"),
              1);
    CHECK(logged("hub0 message 52 "));
    CHECK_INT(count_of("hub0 message"), 1);
    close_stage();
}

SPEC("reply_to is a message of this conversation or 0") {
    open_stage(2);
    SENT(send_as(28, "a"), 1);
    int64_t id = answer(0)->sent.id;
    sql("INSERT INTO message VALUES (500, 72, 1, 35, 'x', 1, 1, 0, 0, '{}')");
    REFUSED(send_reply(28, "b", "d1", 500), ERR_BAD_REQUEST, "");
    REFUSED(send_reply(28, "b", "d1", id + 1000), ERR_BAD_REQUEST, "");
    SENT(send_reply(28, "b", "d1", id), 2);
    CHECK_INT(sql("SELECT reply_to FROM message WHERE seq = 2 AND conversation = 71"), id);
    SENT(send_reply(28, "b", "d1", 500), 2); /* a repeat, whatever it replies to */
    close_stage();
}

SPEC("knows roles, mutes, mute_all, the dissolved state and who has blocked whom") {
    open_stage(2);
    SENT(send_as(40, "a"), 1);
    sql("UPDATE member SET muted_until_ms = 1760000009999 WHERE user = 40;"
        "UPDATE conversation SET mute_all = 1");
    CHECK_INT(answer(changed())->err, ERR_OK);
    REFUSED(send_as(40, "b"), ERR_MUTED, "you are muted");
    REFUSED(send_as(35, "b"), ERR_MUTED, "conversation is muted");
    SENT(send_as(28, "b"), 2);
    sql("UPDATE member SET role = 'admin' WHERE user = 35");
    CHECK_INT(answer(changed())->err, ERR_OK);
    SENT(send_as(35, "b"), 3);
    SENT(send_as(40, "a"), 1); /* refused, but a repeat */
    sql("DELETE FROM member WHERE user = 35; UPDATE conversation SET status = 'dissolved'");
    CHECK_INT(answer(changed())->err, ERR_OK);
    REFUSED(send_as(28, "c"), ERR_DISSOLVED, "");
    REFUSED(send_as(35, "c"), ERR_NOT_MEMBER, "sender not in conversation");
    close_stage();
    open_stage(1);
    sql("INSERT INTO block VALUES (35, 28, 1)");
    REFUSED(send_as(28, "a"), ERR_BLOCKED, "message refused by recipient");
    SENT(send_as(35, "a"), 1);
    sql("DELETE FROM block; INSERT INTO block VALUES (28, 35, 1)");
    CHECK_INT(answer(changed())->err, ERR_OK);
    REFUSED(send_as(35, "b"), ERR_BLOCKED, "message refused by recipient");
    SENT(send_as(28, "b"), 2);
    close_stage();
}

SPEC("seqs that another program has taken are found out, and its messages are pushed") {
    open_stage(2);
    SENT(send_as(28, "a"), 1);
    sql("INSERT INTO message VALUES (500, 71, 2, 35, 'x', 1, 1, 0, 0, '{}'),"
        "(501, 71, 3, 35, 'y', 1, 1, 1, 0, '{}')");
    SENT(send_as(28, "b"), 4);
    CHECK(logged("hub0 message 4 by 28"));
    CHECK(place_of("hub0 message 2 by 35") < place_of("hub0 message 3 by 35"));
    CHECK(place_of("hub0 message 3 by 35") < place_of("hub0 message 4 by 28"));
    close_stage();
}

SPEC("read positions: reads at once, sends by what is stored, folded later") {
    open_stage(2);
    for (int i = 0; i < 5; i++)
        SENT(send_n(28, i), i + 1);
    CHECK_INT(answer(read_as(35, 3, "d1"))->position.unread, 2);
    CHECK_INT(sql("SELECT read_seq FROM member WHERE user = 35"), 3);
    CHECK_INT(sql("SELECT read_seq FROM member WHERE user = 28"), 0);
    down();
    up(); /* nothing was folded: the messages tell */
    CHECK_INT(answer(read_as(28, 1, "d1"))->position.read_seq, 5);
    CHECK_INT(answer(read_as(35, 1, "d1"))->position.read_seq, 3);
    CHECK_INT(answer(read_as(40, 1, "d1"))->position.unread, 4);
    for (int i = 5; i < 300; i++)
        send_n(i % 2 ? 28 : 35, i);
    SENT(send_n(40, 300), 301);
    CHECK_INT(answer(read_as(40, 301, ""))->position.unread, 0);
    int64_t folded = 0;
    UNTIL((folded = sql("SELECT folded_seq FROM conversation")) > 0);
    CHECK(folded >= 256 && folded <= 301);
    CHECK(sql("SELECT read_seq FROM member WHERE user = 28") >= folded - 2);
    CHECK(sql("SELECT read_seq FROM member WHERE user = 35") >= folded - 2);
    close_stage();
}

SPEC("a recall is one change, for ever, and its content is gone") {
    open_stage(2);
    SENT(send_as(35, "a"), 1);
    SENT(send_as(35, "b"), 2);
    int64_t a = answer(0)->sent.id, b = answer(1)->sent.id;
    RECALLED(recall_of(35, a, 1, 35, wall, "d1"), 1);
    RECALLED(recall_of(28, b, 2, 35, wall, "d1"), 2);
    RECALLED(recall_of(28, a, 1, 35, wall, "d1"), 1);
    CHECK_INT(sql("SELECT count(*) FROM message WHERE recalled = 1 AND content = '{}'"), 2);
    CHECK_INT(sql("SELECT change FROM conversation"), 2);
    CHECK_INT(sql("SELECT count(*) FROM change WHERE kind = 'recall' AND at_ms = 1760000000123"),
              2);
    CHECK_INT(sql("SELECT operator FROM change WHERE change = 2"), 28);
    CHECK_INT(sql("SELECT message_id FROM change WHERE change = 1"), a);
    CHECK(logged("hub0 revoked 2 by 28"));
    down();
    up();
    RECALLED(recall_of(35, b, 2, 35, wall, "d1"), 2);
    SENT(send_as(35, "a"), 1);
    CHECK_INT(count_of("revoked"), 0);
    close_stage();
}

SPEC("an unknown conversation is nobody's") {
    open_stage(2);
    sql("DELETE FROM conversation");
    REFUSED(send_as(28, "a"), ERR_NOT_MEMBER, "sender not in conversation");
    close_stage();
}
SPEC_MAIN
