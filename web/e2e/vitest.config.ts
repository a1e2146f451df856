import { defineConfig } from 'vitest/config';

// A spec file is a program of its own with its own node and browser; tools/test runs several side by side.
export default defineConfig({
  test: {
    include: ['**/*.spec.ts'],
    pool: 'forks',
    fileParallelism: false,
    // no limit of a promise, only guards against waiting for ever; that of poll is as long as a person's pages wait (support/person.ts)
    testTimeout: 300_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 30_000 } },
  },
});
