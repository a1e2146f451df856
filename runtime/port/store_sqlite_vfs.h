/* store_sqlite_vfs: SQLite's file system for the writer's connection: it joins the many small
 * writes to the WAL into few large ones. SQLite writes each page of a commit in two pieces (24
 * bytes, then the page), one system call each; a group of a hundred messages has some three hundred
 * pages. Only store_sqlite*.c and the store's own specs include it. */
#pragma once

#define SQLITE_VFS "parley" /* its name, for sqlite3_open_v2 */
/* Bytes that are held back at most, per connection: 31 pages of 4 KiB with their heads. The
 * system's file takes no more than 131,071 at once. */
#define SQLITE_VFS_RUN (125 << 10)

/* Puts it over the file system that is the default now, under its own name; the default stays. At
 * the store's start, while no connection has it. Gives SQLite's code.
 *
 * What is promised about a connection that has it, and synchronous=FULL: when a commit says OK, its
 * pages are written and synced; a write that failed late fails the next call on the WAL, and so
 * every one until the transaction is over; nothing that is held back outlives the write lock. With
 * less than FULL a commit does not sync, and other connections would look for pages that are not
 * there. */
int sqlite_vfs_register(void);
