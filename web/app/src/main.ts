import { createApp } from 'vue';
import App from './App.vue';
import { setRoutes } from './router';
import { routes } from './router/routes';
import './styles/base.css';
import './state/theme';

// A page that was open while a new version came asks for parts that are gone. If the server has another start page than this one
// came from, it is loaded, once a minute at most; if the server is only away, nothing is thrown away.
addEventListener('vite:preloadError', async () => {
  const last = Number(sessionStorage.getItem('parley.reloaded') ?? 0);
  if (Date.now() - last < 60_000) return;
  const mine = new URL(import.meta.url).pathname;
  const page = await fetch('/', { cache: 'no-store' }).then(
    (it) => (it.ok ? it.text() : mine),
    () => mine,
  );
  if (page.includes(mine)) return;
  sessionStorage.setItem('parley.reloaded', String(Date.now()));
  location.reload();
});

setRoutes(routes);
createApp(App).mount('#app');
