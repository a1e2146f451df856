import { shallowRef } from 'vue';
import type { IconName } from './icons';

// One menu for the whole page. openMenu(items, where): `where` is the element that it belongs to, or the event
// of a right click. UiMenuHost shows it; choosing or leaving gives the focus back to where it was.
export interface MenuItem {
  label: string;
  icon?: IconName;
  danger?: boolean;
  disabled?: boolean;
  checked?: boolean;
  run: () => void;
}
export interface MenuPlace {
  left: number;
  top: number;
  right: number;
  bottom: number;
}
interface Open {
  items: MenuItem[];
  place: MenuPlace;
  label: string;
}

export const menu = shallowRef<Open | null>(null);

export function openMenu(items: MenuItem[], where: Element | MouseEvent, label = ''): void {
  if (!items.length) return;
  let place: MenuPlace;
  if (where instanceof Element) {
    const { left, top, right, bottom } = where.getBoundingClientRect();
    place = { left, top, right, bottom };
  } else {
    where.preventDefault();
    // The menu key of a keyboard sends an event without a position.
    const target = where.target as Element | null;
    if (!where.clientX && !where.clientY && target) return openMenu(items, target, label);
    place = { left: where.clientX, top: where.clientY, right: where.clientX, bottom: where.clientY };
  }
  menu.value = { items, place, label };
}

export function closeMenu(): void {
  menu.value = null;
}
