import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { Scene, type SceneOptions } from './world';

export type { Scene };

/** Call once at the top of a spec file. */
export function scene(options: SceneOptions = {}): Scene {
  const it = new Scene(options);
  beforeAll(() => it.open());
  afterEach(async ({ task }) => {
    const faults = it.people.flatMap((person) =>
      person.watch.take().map((fault) => `${person.label}: ${fault}`),
    );
    if (task.result?.state === 'fail' || faults.length > 0) await it.keepPictures(task.name);
    for (const person of it.people.splice(0)) await person.leave();
    expect(faults).toEqual([]);
  });
  afterAll(() => it.close());
  return it;
}
