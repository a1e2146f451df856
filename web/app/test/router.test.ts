import { beforeEach, describe, expect, it } from 'vitest';
import { back, go, link, match, path, query, resolve, routeId, setRoutes } from '../src/router';

const routes = [
  { path: '/chat' },
  { path: '/chat/:id' },
  { path: '/chat/:id/member/:userId' },
  { path: '/settings/:page' },
];

beforeEach(() => {
  setRoutes(routes);
  go('/chat', { replace: true });
});

describe('the router', () => {
  it('finds the route of an address and its parameters', () => {
    expect(resolve('/chat/12')?.params).toEqual({ id: '12' });
    expect(resolve('/chat/12/')?.params).toEqual({ id: '12' });
    expect(resolve('/chat/12/member/7')?.params).toEqual({ id: '12', userId: '7' });
    expect(resolve('/settings/a%20b')?.params).toEqual({ page: 'a b' });
    expect(resolve('/settings/%')?.params).toEqual({ page: '%' });
  });

  it('takes only ids for ids', () => {
    for (const bad of [
      '/chat/0',
      '/chat/x',
      '/chat/-1',
      '/chat/1.5',
      '/chat/12345678901234567',
      '/chatter',
      '/x',
    ])
      expect(resolve(bad), bad).toBeNull();
  });

  it('goes to an address and tells it', () => {
    go('/chat/3?q=tea%20time');
    expect(path.value).toBe('/chat/3');
    expect(query.value.get('q')).toBe('tea time');
    expect(routeId.value).toBe(3);
    expect(match.value?.route.path).toBe('/chat/:id');
    expect(location.pathname).toBe('/chat/3');
  });

  it('goes back inside of the app, else to the fallback', async () => {
    go('/chat/3');
    const popped = new Promise((done) => addEventListener('popstate', done, { once: true }));
    back('/settings/x');
    await popped;
    expect(path.value).toBe('/chat');
    history.replaceState(null, '', '/chat/9');
    back('/settings/x');
    expect(path.value).toBe('/settings/x');
  });

  it('leaves clicks that open another tab to the browser', () => {
    const plain = new MouseEvent('click', { cancelable: true });
    const other = new MouseEvent('click', { cancelable: true, ctrlKey: true });
    link('/chat/5')(other);
    expect([other.defaultPrevented, path.value]).toEqual([false, '/chat']);
    link('/chat/5')(plain);
    expect([plain.defaultPrevented, path.value]).toEqual([true, '/chat/5']);
  });
});
