/* The promises of conversation.h: order, idempotency, refusals, what happens when the store or a
 * hub does not do its part. What SQL does is promised elsewhere. */
#include "spec/actors/conversation_fake.h"

/* --- sending --- */

SPEC("a message is stored, acked, then fanned out, as the bytes of the contract") {
    open_stage(1);
    int n = send_as(28, "c-77");
    SENT(n, 1);
    CHECK_INT(answer(n)->sent.id, 901);
    CHECK_INT(answer(n)->sent.at_ms, 1760000000123);
    CHECK(!answer(n)->sent.repeat);
    CHECK(logged("hub0 message 1 by 28 at 'd1' to 2"));
    CHECK_TEXT(last_frames, last_frames_len,
               "{\"type\":\"new_message\",\"data\":{\"message_id\":901,\"conversation_id\":71,"
               "\"sender_id\":28,\"seq\":1,\"content_type\":1,\"content\":{\"text\":{\"text\":"
               "\"hi\"}},\"created_at\":1760000000,\"created_at_ms\":1760000000123,"
               "\"client_msg_id\":\"c-77\",\"status\":\"normal\",\"reply_to\":0}}");
    CHECK_INT(place_of("hub1"), -1); /* nobody is there */
    close_stage();
}

SPEC("seqs run without hole in the order of arrival, and so does the fan-out") {
    int n[300];
    open_stage(2);
    online_on = 3;
    for (int i = 0; i < 300; i++)
        n[i] = send_n(i % 2 ? 28 : 35, i);
    for (int i = 0; i < 300; i++)
        SENT(n[i], i + 1);
    CHECK(wait_until(has_messages, 300));
    CHECK(logged("hub1 message 300 "));
    for (int i = 1, at0 = -1, at1 = -1; i <= 300; i++) {
        char text[40];
        snprintf(text, sizeof text, "hub0 message %d ", i);
        CHECK(place_of(text) > at0);
        at0 = place_of(text);
        text[3] = '1';
        CHECK(place_of(text) > at1);
        at1 = place_of(text);
    }
    close_stage();
}

SPEC("one batch is at the store at a time, the next one fills meanwhile") {
    open_stage(2);
    SENT(send_as(28, "first"), 1);
    port.hold = true;
    int a = send_as(28, "a");
    CHECK(wait_until(has_waiting, 1));
    int b = send_as(35, "b"), c = send_as(40, "c");
    changed(); /* comes after them: they are in the batch when it is there */
    CHECK(wait_until(has_waiting, 2));
    store_go(false);
    SENT(a, 2);
    SENT(b, 3);
    SENT(c, 4);
    CHECK_INT(port.appends, 3);
    CHECK_INT(port.items, 4);
    close_stage();
}

SPEC("a repeated client_msg_id gets the first ack and is not pushed again") {
    open_stage(2);
    int first = send_as(28, "same");
    SENT(first, 1);
    port.hold = true;
    int with_first = send_as(28, "other"); /* alone in its batch */
    CHECK(wait_until(has_waiting, 1));
    int a = send_as(28, "same"), b = send_as(35, "same"), c = send_as(28, "other");
    changed();
    CHECK(wait_until(has_waiting, 2));
    store_go(false);
    SENT(with_first, 2);
    SENT(a, 1);
    CHECK(answer(a)->sent.repeat);
    CHECK_INT(answer(a)->sent.id, answer(first)->sent.id);
    SENT(b, 3); /* another sender's is another message */
    SENT(c, 2);
    CHECK(answer(c)->sent.repeat);
    CHECK(logged("hub0 message 3 by 35"));
    CHECK_INT(count_of("hub0 message"), 3);
    close_stage();
}

SPEC("refuses with the texts of the contract and uses up no seq") {
    open_stage(2);
    db.members[1].muted = wall + 1000;
    REFUSED(send_as(99, "x"), ERR_NOT_MEMBER, "sender not in conversation");
    REFUSED(send_as(35, "x"), ERR_MUTED, "you are muted");
    db.mute_all = true;
    CHECK_INT(answer(changed())->err, ERR_OK);
    REFUSED(send_as(40, "x"), ERR_MUTED, "conversation is muted");
    REFUSED(send_as(35, "x"), ERR_MUTED, "you are muted");
    SENT(send_as(28, "owner"), 1);
    db.dissolved = true;
    CHECK_INT(answer(changed())->err, ERR_OK);
    REFUSED(send_as(28, "x"), ERR_DISSOLVED, "");
    REFUSED(send_as(99, "x"), ERR_NOT_MEMBER, "sender not in conversation");
    CHECK_INT(db.row_count, 1);
    close_stage();
    open_stage(1);
    db.low_blocked = true;
    REFUSED(send_as(28, "x"), ERR_BLOCKED, "message refused by recipient");
    SENT(send_as(35, "x"), 1);
    close_stage();
}

SPEC("a sender who could not send any more still gets the first ack") {
    open_stage(2);
    SENT(send_as(35, "before"), 1);
    port.hold = true;
    int first = send_as(35, "under way");
    CHECK(wait_until(has_waiting, 1));
    db.members[1].user = 36; /* 35 has been removed */
    int told = changed();
    CHECK(wait_until(has_waiting, 2));
    int repeat = send_as(35, "under way"), old = send_as(35, "before"), fresh = send_as(35, "new");
    store_go(false);
    CHECK_INT(answer(told)->err, ERR_OK);
    SENT(first, 2);
    SENT(old, 1);
    CHECK(answer(old)->sent.repeat);
    SENT(repeat, 2);
    CHECK(answer(repeat)->sent.repeat);
    REFUSED(fresh, ERR_NOT_MEMBER, "sender not in conversation");
    close_stage();
}

SPEC("a reply_to that names no message of the conversation is a bad request, those behind close "
     "up") {
    open_stage(2);
    SENT(send_as(28, "a"), 1);
    port.hold = true;
    int x = send_as(28, "x");
    CHECK(wait_until(has_waiting, 1));
    int bad = send_reply(28, "bad", "d1", 12345), good = send_reply(28, "good", "d1", 901);
    store_go(false);
    SENT(x, 2);
    REFUSED(bad, ERR_BAD_REQUEST, "");
    SENT(good, 3);
    CHECK(logged("hub0 message 3 "));
    close_stage();
}

SPEC("the time of messages never falls, whatever the clock does") {
    open_stage(1);
    SENT(send_as(28, "a"), 1);
    wall -= 5000;
    int n = send_as(28, "b");
    SENT(n, 2);
    CHECK_INT(answer(n)->sent.at_ms, 1760000000123);
    close_stage();
}

/* --- a store that does not do its part --- */

SPEC("a batch whose seqs are taken is tried once more behind what took them") {
    open_stage(2);
    SENT(send_as(28, "a"), 1);
    pthread_mutex_lock(&lock);
    row_add(35, "foreign", "{}");
    pthread_mutex_unlock(&lock);
    int n = send_as(28, "b");
    SENT(n, 3);
    CHECK(logged("hub0 message 3 by 28"));
    CHECK(place_of("hub0 message 2 by 35 at '' to 3") >= 0);
    CHECK(place_of("hub0 message 2 ") < place_of("hub0 message 3 "));
    port.append_err = ERR_STALE; /* once: the second try works */
    SENT(send_as(28, "c"), 4);
    close_stage();
}

SPEC("stored, but nobody knows: the sender is told so, the members get it, the next seq is free") {
    open_stage(2);
    SENT(send_as(28, "a"), 1);
    port.append_err = ERR_TIMEOUT;
    port.append_done = true;
    int lost = send_as(28, "b");
    REFUSED(lost, ERR_TIMEOUT, "");
    int next = send_as(35, "c"), repeat = send_as(28, "b");
    SENT(next, 3);
    SENT(repeat, 2);
    CHECK(answer(repeat)->sent.repeat);
    CHECK(logged("hub0 message 3 by 35"));
    CHECK_INT(count_of("hub0 message 2 by 28"), 1);
    CHECK(place_of("hub0 message 2 ") < place_of("hub0 message 3 "));
    close_stage();
}

SPEC("what nobody knows of is pushed although nothing else is sent") {
    open_stage(2);
    port.append_err = ERR_INTERNAL;
    port.append_done = true;
    port.hold = true;
    int n[120];
    for (int i = 0; i < 120; i++)
        n[i] = send_n(28, i);
    CHECK(wait_until(has_waiting, 1)); /* the facts */
    CHECK(wait_until(has_kept, 120));
    store_go(true);
    CHECK(wait_until(has_waiting, 1)); /* the batch */
    port.load_err = ERR_BUSY;          /* and then the store is gone for a while */
    store_go(false);
    for (int i = 0; i < 120; i++)
        CHECK_INT(answer(n[i])->err, ERR_INTERNAL);
    REFUSED(send_as(28, "x"), ERR_BUSY, "");
    port.load_err = ERR_OK;
    CHECK(wait_until(has_messages, 120)); /* more than a page */
    CHECK_INT(count_of("hub0 message 120 "), 1);
    SENT(send_as(28, "x"), 121);
    close_stage();
}

SPEC("not stored, and nobody knows: the seq is given out again") {
    open_stage(2);
    SENT(send_as(28, "a"), 1);
    port.append_err = ERR_TIMEOUT;
    REFUSED(send_as(28, "b"), ERR_TIMEOUT, "");
    SENT(send_as(28, "c"), 2);
    CHECK(logged("hub0 message 2 by 28"));
    close_stage();
}

SPEC("a store without room means busy, and nothing else happens") {
    open_stage(2);
    SENT(send_as(28, "a"), 1);
    int loads = port.loads;
    port.append_err = ERR_BUSY;
    REFUSED(send_as(28, "b"), ERR_BUSY, "");
    CHECK_INT(port.loads, loads);
    SENT(send_as(28, "b"), 2);
    close_stage();
}

SPEC("facts that cannot be read mean busy for those who wait, and are read again for the next") {
    open_stage(2);
    port.load_err = ERR_TIMEOUT;
    REFUSED(send_as(28, "a"), ERR_TIMEOUT, "");
    REFUSED(changed(), ERR_TIMEOUT, "");
    port.load_err = ERR_OK;
    SENT(send_as(28, "a"), 1);
    close_stage();
}

SPEC("more than may wait is refused as busy") {
    enum { MANY = 2500 };
    static int n[MANY];
    int busy = 0;
    open_stage(2);
    SENT(send_as(28, "a"), 1);
    port.hold = true;
    for (int i = 0; i < MANY; i++)
        n[i] = send_n(28, i);
    CHECK_INT(answer(n[MANY - 1])->err, ERR_BUSY);
    store_go(false);
    for (int i = 0; i < MANY; i++) {
        busy += answer(n[i])->err == ERR_BUSY;
        CHECK(answer(n[i])->err == ERR_BUSY || answer(n[i])->sent.seq == i + 2);
    }
    CHECK_INT(MANY - busy, 1024);
    close_stage();
}

/* --- hubs that are full --- */

SPEC("a full hub gets everything in order later, and the others do not wait for it") {
    int n[60];
    open_stage(2);
    online_on = 3;
    hub_stalled = true;
    for (int i = 0; i < 60; i++) {
        n[i] = send_n(28, i);
        SENT(n[i], i + 1); /* a batch each */
    }
    CHECK(wait_until(has_messages, 60));
    CHECK_INT(count_of("hub1"), 0);
    port.run_err = ERR_OK;
    SENT(recall_as(28, &db.rows[0], "d1"), 0);
    pthread_mutex_lock(&lock);
    hub_stalled = false;
    pthread_mutex_unlock(&lock);
    CHECK(logged("hub1 revoked 1 by 28"));
    for (int i = 1, at = -1; i <= 60; i++) {
        char text[40];
        snprintf(text, sizeof text, "hub1 message %d ", i);
        CHECK_INT(count_of(text), 1);
        CHECK(place_of(text) > at);
        at = place_of(text);
    }
    CHECK(place_of("hub1 revoked 1 ") > place_of("hub1 message 60 "));
    close_stage();
}

SPEC("a hub that stays full holds back storing, not memory") {
    enum { ALONE = 4 + 64, MANY = ALONE + 1700 };
    static int n[MANY];
    int busy = 0;
    open_stage(2);
    online_on = 3;
    hub_stalled = true;
    for (int i = 0; i < ALONE; i++) { /* what the hub takes, then what is kept for it */
        n[i] = send_n(28, i);
        SENT(n[i], i + 1);
    }
    for (int i = ALONE; i < MANY; i++) /* one more batch at most, the next two, refusals */
        n[i] = send_n(28, i);
    CHECK_INT(answer(n[MANY - 1])->err, ERR_BUSY);
    pthread_mutex_lock(&lock);
    hub_stalled = false;
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < MANY; i++)
        busy += answer(n[i])->err == ERR_BUSY;
    CHECK(busy >= 1700 - 500 - 1024);
    CHECK_INT(db.row_count, MANY - busy);
    char text[40];
    snprintf(text, sizeof text, "hub1 message %d ", db.row_count);
    CHECK(logged(text));
    CHECK_INT(count_of("hub1 message"), db.row_count);
    close_stage();
}

/* --- changed facts --- */

SPEC("who loses membership before `changed` is answered cannot send after it") {
    open_stage(2);
    SENT(send_as(40, "a"), 1);
    port.hold = true;
    db.member_count = 2;
    int told = changed(), late = send_as(40, "b"), other = send_as(35, "c");
    CHECK(wait_until(has_waiting, 1));
    CHECK(!answers[late].there);
    store_go(false);
    CHECK_INT(answer(told)->err, ERR_OK);
    REFUSED(late, ERR_NOT_MEMBER, "sender not in conversation");
    SENT(other, 2);
    CHECK(logged("hub0 message 2 by 35 at 'd1' to 2"));
    REFUSED(read_as(40, 1, ""), ERR_NOT_MEMBER, "");
    close_stage();
}

SPEC("an announced change is found even when nobody says that it has been made") {
    open_stage(2);
    SENT(send_as(40, "a"), 1);
    runtime_send_key(rt, KIND_CONVERSATION, CONVERSATION, msg_new(VERB_CHANGING, 0));
    SENT(send_as(40, "b"), 2);
    db.member_count = 2; /* written, and the rule's script ends there */
    int loads = port.loads;
    pass_time(CONVERSATION_DOUBT_MS + 100);
    CHECK(wait_until(has_loads, loads + 1));
    REFUSED(send_as(40, "c"), ERR_NOT_MEMBER, "sender not in conversation");
    close_stage();
}

SPEC("a reload keeps the next seq and the read positions of sends") {
    open_stage(2);
    SENT(send_as(28, "a"), 1);
    SENT(send_as(28, "b"), 2);
    port.hold = true;
    int c = send_as(28, "c");
    CHECK(wait_until(has_waiting, 1));
    int told = changed();
    CHECK(wait_until(has_waiting, 2));
    store_go(false);
    CHECK_INT(answer(told)->err, ERR_OK);
    SENT(c, 3);
    int r = read_as(28, 1, "d1");
    CHECK_INT(answer(r)->position.read_seq, 3);
    CHECK_INT(answer(r)->position.unread, 0);
    SENT(send_as(28, "d"), 4);
    close_stage();
}

SPEC("a position is never above what was told: facts may show a batch whose answer is not here "
     "yet") {
    open_stage(2);
    SENT(send_as(28, "a"), 1);
    port.hold = true;
    int b = send_as(28, "b");
    CHECK(wait_until(has_waiting, 1));
    int told = changed();
    CHECK(wait_until(has_waiting, 2));
    db.members[0].read_seq = 2; /* committed, and seen by the read of the facts */
    store_go_newest();
    CHECK_INT(answer(told)->err, ERR_OK);
    int r = read_as(28, 1, "d1");
    CHECK_INT(answer(r)->position.read_seq, 1);
    CHECK_INT(answer(r)->position.unread, 0);
    store_go(false);
    SENT(b, 2);
    CHECK_INT(answer(read_as(28, 1, "d1"))->position.read_seq, 2);
    close_stage();
}

SPEC("an unknown conversation has no members") {
    open_stage(2);
    db.there = false;
    row_t row = {.id = 5, .seq = 1, .sender = 28};
    stop_clock(); /* its actor would go after some seconds */
    REFUSED(send_as(28, "a"), ERR_NOT_MEMBER, "sender not in conversation");
    REFUSED(read_as(28, 1, "d1"), ERR_NOT_MEMBER, "");
    REFUSED(recall_as(28, &row, "d1"), ERR_NOT_MEMBER, "");
    CHECK_INT(port.loads, 1);
    start_clock();
    db.there = true; /* it is made, and the rules say so */
    CHECK_INT(answer(changed())->err, ERR_OK);
    SENT(send_as(28, "a"), 1);
    close_stage();
}

/* --- reading --- */

SPEC("reads are written at once; their pushes are merged and leave the acting device out") {
    open_stage(2);
    for (int i = 0; i < 9; i++)
        SENT(send_n(28, i), i + 1);
    stop_clock(); /* both within the fifth of a second */
    int a = read_as(35, 3, "phone"), b = read_as(35, 7, "web");
    CHECK_INT(answer(a)->position.read_seq, 3);
    CHECK_INT(answer(b)->position.read_seq, 7);
    CHECK_INT(answer(b)->position.unread, 2);
    CHECK_INT(db.members[1].read_seq, 7);
    start_clock();
    CHECK(logged(
        "read_sync {\"conversation_id\":71,\"read_seq\":7,\"unread\":2} to 35 but 35 'web'"));
    CHECK(place_of("message_read {\"conversation_id\":71,\"user_id\":35,\"read_seq\":7,\"read_at\":"
                   "1760000000,\"read_at_ms\":1760000000123} to 28 40 but 0 ''") >= 0);
    CHECK_INT(count_of("message_read"), 1);
    CHECK_INT(count_of("read_sync"), 1);
    close_stage();
}

SPEC("a position never falls nor passes the end, and what does not move it pushes nothing") {
    open_stage(1);
    SENT(send_as(28, "a"), 1);
    SENT(send_as(28, "b"), 2);
    CHECK_INT(answer(read_as(35, 99, ""))->position.read_seq, 2);
    CHECK(logged("message_read"));
    CHECK_INT(answer(read_as(35, 99, ""))->position.read_seq, 2);
    CHECK_INT(answer(read_as(35, 1, ""))->position.read_seq, 2);
    CHECK_INT(answer(read_as(35, 1, ""))->position.unread, 0);
    CHECK_INT(answer(read_as(28, 2, ""))->position.read_seq, 2); /* own sends */
    REFUSED(read_as(99, 1, ""), ERR_NOT_MEMBER, "");
    SENT(send_as(28, "c"), 3);
    CHECK_INT(answer(read_as(35, 3, ""))->position.read_seq, 3);
    CHECK(logged("\"user_id\":35,\"read_seq\":3"));
    CHECK_INT(count_of("message_read"), 2);
    close_stage();
}

SPEC("a read works in a dissolved group, and large groups hear nothing of it") {
    open_stage(2);
    SENT(send_as(28, "a"), 1);
    while (db.member_count < 51)
        member(100 + db.member_count, 1);
    db.dissolved = true;
    CHECK_INT(answer(changed())->err, ERR_OK);
    CHECK_INT(answer(read_as(35, 1, "d1"))->position.read_seq, 1);
    CHECK(logged("read_sync"));
    CHECK_INT(count_of("message_read"), 0);
    db.member_count = 50;
    CHECK_INT(answer(changed())->err, ERR_OK);
    CHECK_INT(answer(read_as(40, 1, "d1"))->position.read_seq, 1);
    CHECK(logged("message_read"));
    close_stage();
}

SPEC("a send is a read: read_sync only if something was unread, message_read to nobody") {
    open_stage(2);
    SENT(send_as(28, "a"), 1);
    SENT(send_as(28, "b"), 2);
    SENT(send_as(35, "c"), 3);
    CHECK(
        logged("read_sync {\"conversation_id\":71,\"read_seq\":3,\"unread\":0} to 35 but 35 'd1'"));
    SENT(send_as(35, "d"), 4);
    CHECK_INT(answer(read_as(40, 4, "d1"))->position.unread, 0);
    CHECK(logged("\"user_id\":40,\"read_seq\":4")); /* pushes later than those of d would have */
    CHECK(logged("to 40 but 40 'd1'"));
    CHECK_INT(count_of("message_read"), 1);
    CHECK_INT(count_of("read_sync"), 2);
    close_stage();
}

SPEC("a read that the store did not take is answered so and pushes nothing") {
    open_stage(1);
    SENT(send_as(28, "a"), 1);
    port.run_err = ERR_TIMEOUT;
    REFUSED(read_as(35, 1, "d1"), ERR_TIMEOUT, "");
    CHECK_INT(answer(read_as(35, 1, "d1"))->position.read_seq, 1);
    CHECK(logged("message_read"));
    CHECK_INT(count_of("message_read"), 1);
    close_stage();
}

SPEC("positions of sends are folded every 256 messages") {
    int last = 0;
    open_stage(2);
    for (int i = 0; i < 600; i++)
        last = send_n(28, i);
    SENT(last, 600);
    CHECK_INT(answer(read_as(35, 600, ""))->position.read_seq, 600); /* behind the last fold */
    pthread_mutex_lock(&lock);
    int64_t folded = db.folded, read_seq = db.members[0].read_seq;
    pthread_mutex_unlock(&lock);
    CHECK(folded >= 256 && folded <= 600);
    CHECK(read_seq >= folded);
    close_stage();
}

static bool is_folded(int64_t upto) {
    return db.folded >= upto;
}
static bool is_gone(int64_t loads) {
    (void)loads;
    runtime_counts_t c;
    runtime_counts(rt, &c);
    return c.actors <= 3; /* hubs, asker */
}

/* Ten seconds at a time, and somebody looks at the clock. */
static bool time_has_gone(void) {
    pass_time(10000);
    runtime_send(rt, asker, msg_new(MSG_USER + 1, 0));
    nanosleep(&(struct timespec){0, 10000000}, NULL);
    return true;
}

SPEC("an idle conversation folds and goes; the next message finds everything as it was") {
    stage_workers = 1; /* whose clock a message wakes */
    open_stage(2);
    SENT(send_as(28, "a"), 1);
    SENT(send_as(35, "b"), 2);
    UNTIL(time_has_gone() && locked(is_gone, 0));
    CHECK(locked(is_folded, 2));
    CHECK_INT(db.members[1].read_seq, 2);
    int loads = port.loads;
    SENT(send_as(28, "c"), 3);
    CHECK_INT(port.loads, loads + 1);
    CHECK(logged("hub0 message 3 "));
    close_stage();
    stage_workers = WORKERS;
}

/* --- recall --- */

SPEC("a recall takes the content away, counts a change and tells all members") {
    open_stage(2);
    SENT(send_as(35, "a"), 1);
    SENT(send_as(28, "b"), 2);
    RECALLED(recall_as(35, &db.rows[0], "phone"), 1);
    CHECK_TEXT(db.rows[0].content, strlen(db.rows[0].content), "{}");
    CHECK(logged("hub0 revoked 1 by 35 at 'phone' to 3"));
    CHECK_TEXT(last_frames, last_frames_len,
               "{\"type\":\"message_revoked\",\"data\":{\"conversation_id\":71,\"change\":1,"
               "\"message_id\":901,\"seq\":1,\"sender_id\":35,\"operator_id\":35,"
               "\"revoked_at\":1760000000,\"revoked_at_ms\":1760000000123}}");
    RECALLED(recall_as(28, &db.rows[1], "d1"), 2);
    RECALLED(recall_as(35, &db.rows[0], "web"), 1); /* a repeat pushes nothing */
    CHECK(logged("hub0 revoked 2 by 28"));
    CHECK_INT(count_of("revoked"), 2);
    close_stage();
}

SPEC("refuses a recall in the order membership, sender or role, repeat, dissolved, time") {
    open_stage(2);
    SENT(send_as(35, "a"), 1);
    SENT(send_as(35, "b"), 2);
    RECALLED(recall_as(35, &db.rows[0], "d1"), 1);
    wall += 120001;
    REFUSED(recall_as(99, &db.rows[1], "d1"), ERR_NOT_MEMBER, "");
    REFUSED(recall_as(40, &db.rows[0], "d1"), ERR_FORBIDDEN, "not the message sender");
    RECALLED(recall_as(35, &db.rows[0], "d1"), 1);
    REFUSED(recall_as(35, &db.rows[1], "d1"), ERR_RECALL_EXPIRED,
            "cannot revoke message after 2 minutes");
    recall_window = 90000;
    REFUSED(recall_as(35, &db.rows[1], "d1"), ERR_RECALL_EXPIRED,
            "cannot revoke message after 90 seconds");
    recall_window = 3600000;
    wall += 3600000;
    REFUSED(recall_as(35, &db.rows[1], "d1"), ERR_RECALL_EXPIRED,
            "cannot revoke message after 1 hour");
    db.dissolved = true;
    CHECK_INT(answer(changed())->err, ERR_OK);
    RECALLED(recall_as(35, &db.rows[0], "d1"), 1);
    REFUSED(recall_as(35, &db.rows[1], "d1"), ERR_DISSOLVED, "");
    REFUSED(recall_as(28, &db.rows[1], "d1"), ERR_DISSOLVED, "");
    db.dissolved = false;
    CHECK_INT(answer(changed())->err, ERR_OK);
    RECALLED(recall_as(28, &db.rows[1], "d1"), 2); /* the owner, at any time */
    close_stage();
}

SPEC("concurrent recalls of one message are one change") {
    int n[20];
    open_stage(2);
    SENT(send_as(35, "a"), 1);
    for (int i = 0; i < 20; i++)
        n[i] = recall_as(i % 2 ? 28 : 35, &db.rows[0], "d1");
    for (int i = 0; i < 20; i++)
        RECALLED(n[i], 1);
    CHECK(logged("revoked"));
    CHECK_INT(count_of("revoked"), 1);
    CHECK_INT(db.change, 1);
    close_stage();
}

SPEC("a recall never overtakes the fan-out of its message") {
    open_stage(2);
    SENT(send_as(28, "a"), 1);
    pthread_mutex_lock(&lock);
    row_t *hidden = row_add(28, "b", "{}"); /* stored, its answer has not come yet */
    hidden->at_ms = wall;
    pthread_mutex_unlock(&lock);
    RECALLED(recall_as(28, hidden, "d1"), 1);
    CHECK(logged("hub0 revoked 2 "));
    CHECK(place_of("hub0 message 2 ") >= 0);
    CHECK(place_of("hub0 message 2 ") < place_of("hub0 revoked 2 "));
    row_t nowhere = {.id = 5000, .seq = 50, .sender = 28, .at_ms = wall};
    REFUSED(recall_as(28, &nowhere, "d1"), ERR_NOT_FOUND, "message not found");
    close_stage();
}

SPEC("a recall whose outcome nobody knows is looked for, and pushed if it was done") {
    open_stage(2);
    SENT(send_as(28, "a"), 1);
    SENT(send_as(28, "b"), 2);
    port.run_err = ERR_TIMEOUT;
    port.run_done = true;
    RECALLED(recall_as(28, &db.rows[0], "d1"), 1);
    CHECK(logged("hub0 revoked 1 "));
    port.run_err = ERR_TIMEOUT;
    port.run_done = false;
    REFUSED(recall_as(28, &db.rows[1], "d1"), ERR_TIMEOUT, "");
    RECALLED(recall_as(28, &db.rows[1], "d1"), 2);
    CHECK(logged("hub0 revoked 2 "));
    CHECK_INT(count_of("revoked"), 2);
    close_stage();
}

SPEC("a change that was told is not told again by who looks whether it was done") {
    open_stage(2);
    row_add(28, "a", "{}")->change = db.change = 1; /* in an earlier life of the conversation */
    SENT(send_as(28, "b"), 2);
    SENT(send_as(28, "c"), 3);
    RECALLED(recall_as(28, &db.rows[1], "d1"), 2);
    RECALLED(recall_as(28, &db.rows[2], "d1"), 3);
    for (int i = 0; i < 3; i++) {
        port.run_err = ERR_TIMEOUT;
        port.run_done = true;
        RECALLED(recall_as(28, &db.rows[i], "d1"), i + 1);
    }
    SENT(send_as(28, "d"), 4);
    CHECK(logged("hub0 message 4 "));
    CHECK_INT(count_of("revoked"), 2);
    close_stage();
}

/* --- the end --- */

SPEC("a stop finishes what was accepted and refuses the rest") {
    int n[20];
    open_stage(2);
    SENT(send_as(28, "a"), 1);
    for (int i = 0; i < 20; i++)
        n[i] = send_n(28, i);
    SENT(n[0], 2);
    stage_stop();
    int acked = 1;
    for (int i = 0; i < 20; i++)
        acked += answers[n[i]].there && answers[n[i]].err == ERR_OK;
    CHECK(db.row_count >= acked);
    stage_free();
}

/* --- the wire forms --- */

SPEC("message_item_json is the REST form, recalled ones are placeholders") {
    buf_t b = {0};
    message_row_t m = {.id = 900133,
                       .conversation = 71,
                       .seq = 14,
                       .sender = 28,
                       .at_ms = 1760000000123,
                       .content_type = 1,
                       .client_msg_id = SLICE("V1StGXR8_Z5jdHi6B-myT"),
                       .content = SLICE("{\"text\":{\"text\":\"hi\"}}")};
    message_item_json(&b, &m);
    CHECK_TEXT(
        b.at, b.len,
        "{\"id\":900133,\"conversation_id\":71,\"sender_id\":28,\"seq\":14,\"content_type\":1,"
        "\"body\":{\"text\":{\"text\":\"hi\"}},\"create_time\":{\"seconds\":1760000000,"
        "\"nanos\":123000000},\"client_msg_id\":\"V1StGXR8_Z5jdHi6B-myT\",\"status\":"
        "\"normal\",\"reply_to\":0,\"created_at_ms\":1760000000123}");
    b.len = 0;
    m.recalled = true;
    m.client_msg_id = SLICE("a\"b");
    message_push_json(&b, &m);
    CHECK_TEXT(
        b.at, b.len,
        "{\"message_id\":900133,\"conversation_id\":71,\"sender_id\":28,\"seq\":14,"
        "\"content_type\":1,\"content\":{},\"created_at\":1760000000,\"created_at_ms\":"
        "1760000000123,\"client_msg_id\":\"a\\\"b\",\"status\":\"recalled\",\"reply_to\":0}");
    buf_free(&b);
}
SPEC_MAIN
