import { reactive } from 'vue';

/** What waits in each section; a section's own state keeps its number up to date, the rail shows it. */
export type Section = 'chats' | 'contacts' | 'settings';
export const badges = reactive<Record<Section, number>>({ chats: 0, contacts: 0, settings: 0 });
