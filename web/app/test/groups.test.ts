import type { ConversationBrief, Member } from '@parley/sdk';
import { describe, expect, it } from 'vitest';
import { isOwner, mayManage, outranks } from '../src/state/groups';

const group = (role: string, more = {}) =>
  ({ id: 1, type: 2, status: 'active', role, ...more }) as ConversationBrief;
const member = (role: string) => ({ role }) as Member;

describe('what one may do in a group', () => {
  it('is managing for owner and admins, as long as it is no single chat and not dissolved', () => {
    expect(['owner', 'admin', 'member'].map((it) => mayManage(group(it)))).toEqual([true, true, false]);
    expect(mayManage(group('owner', { status: 'dissolved' }))).toBe(false);
    expect(mayManage(group('owner', { type: 1 }))).toBe(false);
    expect([isOwner(group('owner')), isOwner(group('admin'))]).toEqual([true, false]);
  });

  it('reaches those below oneself only', () => {
    const table = ['owner', 'admin', 'member'].map((mine) =>
      ['owner', 'admin', 'member'].map((theirs) => outranks(group(mine), member(theirs))),
    );
    expect(table).toEqual([
      [false, true, true],
      [false, false, true],
      [false, false, false],
    ]);
  });
});
