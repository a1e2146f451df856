import type { Component } from 'vue';
import PaneLoading from '../layout/PaneLoading.vue';
import { later as part } from '../lib/later';
import type { Route } from './index';

// All addresses. What is not the chat itself is loaded when somebody goes there.
const later = (load: () => Promise<{ default: Component }>) => part(load, PaneLoading);

const Chats = later(() => import('../screens/chats/ChatList.vue'));
const Chat = later(() => import('../screens/chats/ChatPane.vue'));
const ChatNone = later(() => import('../screens/chats/ChatNone.vue'));

const Contacts = later(() => import('../screens/contacts/ContactList.vue'));
const Settings = later(() => import('../screens/settings/SettingsList.vue'));

const contacts = (path: string, load: () => Promise<{ default: Component }>): Route => ({
  path,
  section: 'contacts',
  list: Contacts,
  main: later(load),
});
const settings = (path: string, load: () => Promise<{ default: Component }>): Route => ({
  path,
  section: 'settings',
  list: Settings,
  main: later(load),
});

export const routes: Route[] = [
  { path: '/', redirect: '/chat' },
  { path: '/login', open: true, main: later(() => import('../screens/sign/SignIn.vue')) },
  { path: '/register', open: true, main: later(() => import('../screens/sign/SignUp.vue')) },
  { path: '/chat', section: 'chats', list: Chats, main: ChatNone, listFirst: true },
  { path: '/chat/:id', section: 'chats', list: Chats, main: Chat },
  {
    path: '/chat/:id/info',
    section: 'chats',
    list: Chats,
    main: Chat,
    details: later(() => import('../screens/groups/ChatDetails.vue')),
  },
  { ...contacts('/contacts', () => import('../screens/contacts/ContactNone.vue')), listFirst: true },
  contacts('/contacts/add', () => import('../screens/contacts/AddContact.vue')),
  contacts('/contacts/requests', () => import('../screens/contacts/RequestsPage.vue')),
  contacts('/contacts/blocked', () => import('../screens/contacts/BlockedPage.vue')),
  contacts('/contacts/group', () => import('../screens/groups/NewGroup.vue')),
  contacts('/contacts/:id', () => import('../screens/contacts/PersonPage.vue')),
  { ...settings('/settings', () => import('../screens/settings/ProfilePage.vue')), listFirst: true },
  settings('/settings/profile', () => import('../screens/settings/ProfilePage.vue')),
  settings('/settings/look', () => import('../screens/settings/LookPage.vue')),
  settings('/settings/notifications', () => import('../screens/settings/NotificationsPage.vue')),
  settings('/settings/devices', () => import('../screens/settings/DevicesPage.vue')),
];
