// The sounds of a call that rings, made by the browser: no file is loaded. A browser that allows no sound yet stays silent.

/** Plays until the answer is called. 'in': somebody calls; 'out': one hears it ring at the other side. */
export function ring(direction: 'in' | 'out'): () => void {
  if (typeof AudioContext === 'undefined') return () => {};
  const audio = new AudioContext();
  const volume = audio.createGain();
  volume.gain.value = direction === 'in' ? 0.12 : 0.05;
  volume.connect(audio.destination);

  const tones: readonly [at: number, hertz: number, seconds: number][] =
    direction === 'in'
      ? [
          [0, 659, 0.18],
          [0.2, 880, 0.18],
          [0.4, 659, 0.18],
          [0.6, 880, 0.3],
        ]
      : [[0, 425, 1]];
  const everyMs = direction === 'in' ? 2200 : 4000;

  function once() {
    for (const [at, hertz, seconds] of tones) {
      const start = audio.currentTime + at;
      const tone = audio.createOscillator();
      const envelope = audio.createGain();
      tone.frequency.value = hertz;
      envelope.gain.setValueAtTime(0, start);
      envelope.gain.linearRampToValueAtTime(1, start + 0.02);
      envelope.gain.setValueAtTime(1, start + seconds - 0.05);
      envelope.gain.linearRampToValueAtTime(0, start + seconds);
      tone.connect(envelope).connect(volume);
      tone.start(start);
      tone.stop(start + seconds);
    }
  }
  once();
  const timer = setInterval(once, everyMs);
  return () => {
    clearInterval(timer);
    void audio.close();
  };
}
