import { defineAsyncComponent, type Component } from 'vue';
import PaneLoading from '../layout/PaneLoading.vue';
import type { Route } from './index';

// All addresses. What is not the chat itself is loaded when somebody goes there.
const later = (load: () => Promise<{ default: Component }>) =>
  defineAsyncComponent({ loader: load, loadingComponent: PaneLoading, delay: 150 });

const Chats = later(() => import('../screens/chats/ChatList.vue'));
const Chat = later(() => import('../screens/chats/ChatPane.vue'));
const ChatNone = later(() => import('../screens/chats/ChatNone.vue'));

export const routes: Route[] = [
  { path: '/', redirect: '/chat' },
  { path: '/login', open: true, main: later(() => import('../screens/sign/SignIn.vue')) },
  { path: '/register', open: true, main: later(() => import('../screens/sign/SignUp.vue')) },
  { path: '/chat', section: 'chats', list: Chats, main: ChatNone, listFirst: true },
  { path: '/chat/:id', section: 'chats', list: Chats, main: Chat },
];
