import { computed, shallowRef, type Component } from 'vue';

// The address bar as state: `path`, go(to), back(to). Routes stand in routes.ts.
// A route fills up to three panes: list, main, details. A narrow screen shows the last one that it names.
export interface Route {
  /** Segments; `:id` matches digits and is a number in params, `:name` anything else but a slash. */
  path: string;
  /** May be seen without being signed in, and only then. */
  open?: boolean;
  /** Which entry of the navigation is lit. */
  section?: 'chats' | 'contacts' | 'settings';
  list?: Component;
  main?: Component;
  details?: Component;
  /** On a narrow screen the list is shown, though there is a main pane (which is then only a placeholder). */
  listFirst?: boolean;
  redirect?: string;
}
export interface Match {
  route: Route;
  params: Record<string, string>;
}

interface Compiled {
  route: Route;
  pattern: RegExp;
  names: string[];
}
let compiled: Compiled[] = [];

const here = () => location.pathname + location.search;
const current = shallowRef(typeof location === 'undefined' ? '/' : here());
/** How many of our own entries lie below this one: whether back() may use the browser's history. */
const depth = () => (history.state as { depth?: number } | null)?.depth ?? 0;

export const path = computed(() => current.value.split('?')[0]!);
export const query = computed(() => new URLSearchParams(current.value.split('?')[1] ?? ''));
export const match = computed<Match | null>(() => resolve(path.value));
/** The :id of the address, 0 if it has none. */
export const routeId = computed(() => Number(match.value?.params.id ?? 0));

export function setRoutes(routes: readonly Route[]): void {
  compiled = routes.map((route) => {
    const names: string[] = [];
    const source = route.path.replace(/:(\w+)/g, (_, name: string) => {
      names.push(name);
      return name.endsWith('id') || name.endsWith('Id') ? '([1-9]\\d{0,15})' : '([^/]+)';
    });
    return { route, names, pattern: new RegExp(`^${source}/?$`) };
  });
}

export function resolve(of: string): Match | null {
  for (const { route, pattern, names } of compiled) {
    const found = pattern.exec(of);
    if (found) {
      return { route, params: Object.fromEntries(names.map((name, at) => [name, decode(found[at + 1]!)])) };
    }
  }
  return null;
}
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function go(to: string, how: { replace?: boolean } = {}): void {
  if (to === current.value) return;
  if (how.replace) history.replaceState({ depth: depth() }, '', to);
  else history.pushState({ depth: depth() + 1 }, '', to);
  current.value = to;
}

/** To where the reader came from if that was in this app, else to `fallback`. */
export function back(fallback: string): void {
  if (depth() > 0) history.back();
  else go(fallback, { replace: true });
}

/** A click handler for <a href>: plain clicks stay in the app, others (new tab, middle button) are the browser's. */
export function link(to: string) {
  return (event: MouseEvent): void => {
    if (
      event.defaultPrevented ||
      event.button ||
      event.metaKey ||
      event.ctrlKey ||
      event.shiftKey ||
      event.altKey
    )
      return;
    event.preventDefault();
    go(to);
  };
}

if (typeof window !== 'undefined') addEventListener('popstate', () => (current.value = here()));
