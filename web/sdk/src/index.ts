// The public face of the library: everything a program uses is exported here, nothing else is.
export const version = '0.1.0';
export { Client } from './client.js';
export { ApiError } from './errors.js';
export { Emitter } from './emitter.js';
export { IndexedDbStore } from './idb.js';
export { mediaOf } from './files.js';
export { MemoryStore, type Store, type Table, type Tx } from './store.js';
export type { Auth } from './auth.js';
export type { Blocks, Contacts, Groups, PageOptions, Users } from './api.js';
export type * from './shape.js';
export type * from './types.js';
export * from './wire.js';
