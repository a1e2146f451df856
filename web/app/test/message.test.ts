import type { Message } from '@parley/sdk';
import { mount } from '@vue/test-utils';
import { beforeEach, describe, expect, it, vi } from 'vitest';

vi.mock('../src/state/client', () => ({
  client: {
    state: { name: 'online', reason: '', retryAt: 0 },
    auth: { profile: { user: { id: 1, username: 'me', display_name: 'Me', avatar_url: '' } } },
    users: { find: async (id: number) => ({ id, username: 'x', display_name: 'Tom', avatar_url: '' }) },
    messages: { find: async () => undefined, discard: vi.fn(async () => {}), retry: vi.fn(async () => {}) },
    files: { link: async () => '/api/files/blob/9?sig=a' },
    start: async () => {},
    on: () => () => {},
  },
}));
vi.stubGlobal('matchMedia', () => ({ matches: true, addEventListener: () => {} }));
vi.stubGlobal('ResizeObserver', class {});

const { default: MessageRow } = await import('../src/screens/chats/MessageRow.vue');
const { boot } = await import('../src/state/session');
const { menu } = await import('../src/ui/menu');
const { client } = await import('../src/state/client');

const evil = '<img src=x onerror=alert(1)><script>alert(2)</scr' + 'ipt>" onclick="alert(3)';
function message(more: Partial<Message> = {}): Message {
  return {
    id: 10,
    conversation_id: 5,
    sender_id: 2,
    seq: 4,
    content_type: 1,
    body: { text: { text: evil } },
    created_at_ms: Date.now() - 60_000,
    client_msg_id: 'c',
    status: 'normal',
    reply_to: 0,
    ...more,
  };
}
const file = {
  file_id: 9,
  object_key: '',
  url: '',
  url_expires_at_ms: 0,
  filename: evil,
  content_type: 'text/html',
  size_bytes: 5,
  duration_sec: 0,
  width: 0,
  height: 0,
  thumbnail_key: '',
};
const plain = {
  own: false,
  follows: false,
  followed: false,
  day: '',
  unread: false,
  readers: 0,
  first: false,
  group: false,
  role: 'member' as const,
  flash: false,
};
const show = (props: object) =>
  mount(MessageRow, { props: { ...plain, ...props } as never, attachTo: document.body });
const offered = () => menu.value?.items.map((it) => it.label) ?? [];

beforeEach(async () => {
  await boot();
  menu.value = null;
});

describe('a message', () => {
  it.each([
    ['text', { body: { text: { text: evil } } }],
    ['file name', { content_type: 3, body: { file } }],
    ['picture', { content_type: 2, body: { image: { ...file, width: 10, height: 10 } } }],
    ['unknown kind', { content_type: 77, body: { other: { text: evil } } as never }],
  ])('shows what somebody wrote into its %s as text only', (_, more) => {
    const row = show({ message: message(more), group: true, nickname: evil });
    expect(row.find('script').exists()).toBe(false);
    expect(row.findAll('img').filter((it) => it.attributes('onerror')).length).toBe(0);
    expect(row.findAll('[onclick]').length).toBe(0);
  });

  it('opens links in a page of their own that knows nothing of this one', () => {
    const row = show({
      message: message({ body: { text: { text: 'see https://x.example/a and javascript:alert(1)' } } }),
    });
    const links = row.findAll('a');
    expect(links.map((it) => it.attributes('href'))).toEqual(['https://x.example/a']);
    expect(links[0]!.attributes('rel')).toContain('noopener');
    expect(links[0]!.attributes('target')).toBe('_blank');
  });

  it('has nothing of its content left once it is recalled', () => {
    const row = show({ message: message({ status: 'recalled', body: {} }), nickname: 'Tom' });
    expect(row.text()).toContain('Tom recalled a message');
    expect(row.find('.bubble').exists()).toBe(false);
  });

  it('may be recalled by its sender for two minutes, by an admin always', async () => {
    const own = { own: true, message: message({ sender_id: 1 }) };
    await show(own).trigger('contextmenu');
    expect(offered()).toContain('Recall');
    await show({
      own: true,
      message: message({ sender_id: 1, created_at_ms: Date.now() - 130_000 }),
    }).trigger('contextmenu');
    expect(offered()).not.toContain('Recall');
    await show({ message: message() }).trigger('contextmenu');
    expect(offered()).not.toContain('Recall');
    await show({ message: message(), group: true, role: 'admin' }).trigger('contextmenu');
    expect(offered()).toContain('Recall');
  });

  it('that was not sent says why, and offers to send it again or to drop it', async () => {
    const entry = {
      client_msg_id: 'q',
      conversation_id: 5,
      content_type: 1,
      body: { text: { text: 'hi' } },
      reply_to: 0,
      created_at_ms: 1,
      state: 'failed',
      error: { code: 'blocked', message: 'x' },
    };
    const row = show({ entry, own: true });
    expect(row.find('[role=alert]').text()).toContain('This person does not accept messages from you');
    const [again, drop] = row.findAll('.unsent button');
    await again!.trigger('click');
    expect(client.messages.retry).toHaveBeenCalledWith('q', undefined);
    await drop!.trigger('click');
    expect(client.messages.discard).toHaveBeenCalledWith('q');
  });

  it('of one’s own tells how many have read it', () => {
    const row = show({ own: true, group: true, readers: 3, message: message({ sender_id: 1 }) });
    expect(row.find('.stamp').text()).toContain('Read by 3');
  });
});
