import { defineConfig } from 'vitest/config';

// A spec file is a program of its own with its own node and browser; tools/test runs several side by side.
export default defineConfig({
  test: {
    include: ['**/*.spec.ts'],
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 60_000,
  },
});
