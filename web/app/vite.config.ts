import { fileURLToPath } from 'node:url';
import vue from '@vitejs/plugin-vue';
import { defineConfig } from 'vitest/config';

// The node that a development server speaks to: PARLEY_NODE=http://127.0.0.1:8080 npm run dev -w app
const node = process.env.PARLEY_NODE ?? 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [vue()],
  resolve: { alias: { '@parley/sdk': fileURLToPath(new URL('../sdk/src/index.ts', import.meta.url)) } },
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    // One style sheet: a part that could not be loaded must not come back without its own.
    cssCodeSplit: false,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
  },
  // the limit only guards against a hang: to load what a spec is about can take seconds on a busy machine
  test: { environment: 'jsdom', include: ['test/**/*.test.ts'], restoreMocks: true, testTimeout: 30_000 },
  server: { proxy: { '/api': node, '/ws': { target: node, ws: true } } },
});
