import { createApp } from 'vue';
import App from './App.vue';
import { setRoutes } from './router';
import { routes } from './router/routes';
import './styles/base.css';
import './state/theme';

// A page that was open while a new version came asks for parts that are gone: it loads itself anew, once a minute at most.
addEventListener('vite:preloadError', () => {
  const last = Number(sessionStorage.getItem('parley.reloaded') ?? 0);
  if (Date.now() - last < 60_000) return;
  sessionStorage.setItem('parley.reloaded', String(Date.now()));
  location.reload();
});

setRoutes(routes);
createApp(App).mount('#app');
