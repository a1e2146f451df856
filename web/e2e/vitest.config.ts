import { defineConfig } from 'vitest/config';

// A spec file is a program of its own with its own node and browser; tools/test runs several side by side.
export default defineConfig({
  test: {
    include: ['**/*.spec.ts'],
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 60_000,
    // no limit of a promise, only a guard against waiting for ever: as long as a person's pages wait (support/person.ts)
    expect: { poll: { timeout: 20_000 } },
  },
});
