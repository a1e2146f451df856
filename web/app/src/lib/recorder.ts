// Records the microphone into one small file: Opus where the browser has it, else what it has.
const types = ['audio/webm;codecs=opus', 'audio/ogg;codecs=opus', 'audio/mp4'] as const;
const bitsPerSecond = 24_000;

export interface Recording {
  file: Blob;
  seconds: number;
}

export function canRecord(): boolean {
  return typeof MediaRecorder !== 'undefined' && !!navigator.mediaDevices?.getUserMedia;
}

/** One recording, from start to either stop or cancel. The microphone is given back in every case. */
export class Recorder {
  private recorder: MediaRecorder;
  private chunks: Blob[] = [];
  private began = performance.now();
  private audio = new AudioContext();
  private analyser = this.audio.createAnalyser();
  private samples = new Uint8Array(this.analyser.fftSize);

  private constructor(private stream: MediaStream) {
    const mimeType = types.find((it) => MediaRecorder.isTypeSupported(it));
    this.recorder = new MediaRecorder(stream, {
      audioBitsPerSecond: bitsPerSecond,
      ...(mimeType && { mimeType }),
    });
    this.recorder.ondataavailable = (event) => this.chunks.push(event.data);
    this.audio.createMediaStreamSource(stream).connect(this.analyser);
    this.recorder.start(1000);
  }

  /** Throws what getUserMedia throws (DOMException) when there is no microphone or no permission. */
  static async start(): Promise<Recorder> {
    return new Recorder(await navigator.mediaDevices.getUserMedia({ audio: true }));
  }

  get seconds(): number {
    return (performance.now() - this.began) / 1000;
  }

  /** How loud it is just now, 0 to 1. */
  get level(): number {
    this.analyser.getByteTimeDomainData(this.samples);
    let most = 0;
    for (const it of this.samples) most = Math.max(most, Math.abs(it - 128));
    return Math.min(1, most / 96);
  }

  async stop(): Promise<Recording> {
    const seconds = this.seconds;
    await this.end();
    // The parameters of a type ("codecs=opus") are not what a server compares.
    const type = (this.recorder.mimeType || 'audio/webm').split(';')[0]!;
    return { file: new Blob(this.chunks, { type }), seconds };
  }

  async cancel(): Promise<void> {
    await this.end();
    this.chunks = [];
  }

  private async end(): Promise<void> {
    if (this.recorder.state !== 'inactive') {
      const stopped = new Promise((done) => (this.recorder.onstop = done));
      this.recorder.stop();
      await stopped;
    }
    for (const track of this.stream.getTracks()) track.stop();
    await this.audio.close().catch(() => {});
  }
}
