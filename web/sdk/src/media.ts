// Sound and pictures of one call: microphone, camera and the WebRTC connection. Each side may offer anew when the network changes;
// should both do so at once, the callee gives way.
import type { Rtc } from './types.js';
import type { CallServers, CallType } from './wire.js';

export interface Candidate {
  candidate: string;
  sdp_mid: string | null;
  sdp_mline_index: number | null;
}

export interface MediaHost {
  sdp(type: 'offer' | 'answer', sdp: string): void;
  candidate(candidate: Candidate): void;
  /** 'lost': it may come back. */
  link(state: 'connected' | 'lost'): void;
  changed(): void;
}

export class MediaLink {
  local: MediaStream | null = null;
  remote: MediaStream | null = null;
  private peer: RTCPeerConnection | null = null;
  private offering = false;
  /** Candidates that came before the description they belong to. */
  private early: RTCIceCandidateInit[] = [];
  private work: Promise<unknown> = Promise.resolve();
  private closed = false;

  constructor(
    private rtc: Rtc,
    private type: CallType,
    private polite: boolean,
  ) {}

  /** Asks for microphone and camera. Without a camera a video call shows only the other side. */
  async prepare(): Promise<void> {
    if (this.local) return;
    let local: MediaStream;
    try {
      local = await this.rtc.media({ audio: true, video: this.type === 'video' });
    } catch (e) {
      if (this.type !== 'video' || (e as Error).name === 'NotAllowedError') throw e;
      local = await this.rtc.media({ audio: true });
    }
    if (this.closed) for (const track of local.getTracks()) track.stop();
    else this.local = local;
  }

  /** Both sides want the call. The caller begins. */
  open(servers: CallServers, host: MediaHost): void {
    if (this.peer || this.closed) return;
    const stun = servers.stun_servers.length ? [{ urls: servers.stun_servers }] : [];
    const peer = this.rtc.connection({ iceServers: [...stun, ...servers.turn_servers] });
    this.peer = peer;
    peer.ontrack = ({ track, streams }) => {
      this.remote = streams[0] ?? this.remote ?? new MediaStream();
      if (!streams[0]) this.remote.addTrack(track);
      host.changed();
    };
    peer.onicecandidate = ({ candidate }) => {
      if (!candidate?.candidate) return;
      const { sdpMid, sdpMLineIndex } = candidate;
      host.candidate({ candidate: candidate.candidate, sdp_mid: sdpMid, sdp_mline_index: sdpMLineIndex });
    };
    peer.onconnectionstatechange = () => {
      if (peer.connectionState === 'connected') host.link('connected');
      if (peer.connectionState === 'disconnected') host.link('lost');
      if (peer.connectionState === 'failed') {
        host.link('lost');
        peer.restartIce();
      }
    };
    peer.onnegotiationneeded = () => void this.offer(peer, host);
    // the callee's tracks go into what the caller offers
    if (!this.polite) this.addTracks(peer);
  }

  /** The other side's description. */
  describe(type: 'offer' | 'answer', sdp: string, host: MediaHost): Promise<void> {
    return this.queue(async (peer) => {
      const clash = type === 'offer' && (this.offering || peer.signalingState !== 'stable');
      if (clash && !this.polite) return;
      if (type === 'answer' && peer.signalingState !== 'have-local-offer') return;
      await peer.setRemoteDescription({ type, sdp });
      for (const candidate of this.early.splice(0)) await peer.addIceCandidate(candidate).catch(() => {});
      if (type === 'answer') return;
      this.addTracks(peer);
      await peer.setLocalDescription();
      host.sdp('answer', peer.localDescription!.sdp);
    });
  }

  candidate(c: Candidate): Promise<void> {
    const candidate = { candidate: c.candidate, sdpMid: c.sdp_mid, sdpMLineIndex: c.sdp_mline_index };
    return this.queue(async (peer) => {
      if (!peer.remoteDescription) {
        if (this.early.length < 100) this.early.push(candidate);
      } else await peer.addIceCandidate(candidate).catch(() => {});
    });
  }

  /** The network is another one: look for a new way, if there is none. */
  restart(): void {
    if (this.peer && this.peer.connectionState !== 'connected' && this.peer.remoteDescription)
      this.peer.restartIce();
  }

  enable(kind: 'audio' | 'video', on: boolean): void {
    for (const track of this.local?.getTracks() ?? []) if (track.kind === kind) track.enabled = on;
  }

  async switchCamera(): Promise<void> {
    const now = this.local?.getVideoTracks()[0];
    const cameras = (await this.rtc.cameras?.()) ?? [];
    if (!now || cameras.length < 2) return;
    const id = cameras[(cameras.indexOf(now.getSettings().deviceId ?? '') + 1) % cameras.length]!;
    // most phones have one camera open at a time
    now.stop();
    const stream = await this.rtc.media({ video: { deviceId: { exact: id } } });
    const next = stream.getVideoTracks()[0]!;
    next.enabled = now.enabled;
    const sender = this.peer?.getSenders().find((s) => s.track === now);
    await sender?.replaceTrack(next);
    this.local!.removeTrack(now);
    this.local!.addTrack(next);
  }

  close(): void {
    this.closed = true;
    for (const track of this.local?.getTracks() ?? []) track.stop();
    if (!this.peer) return;
    this.peer.onconnectionstatechange = null;
    this.peer.onnegotiationneeded = null;
    this.peer.close();
  }

  private addTracks(peer: RTCPeerConnection): void {
    const there = new Set(peer.getSenders().map((sender) => sender.track));
    for (const track of this.local?.getTracks() ?? []) {
      if (!there.has(track)) peer.addTrack(track, this.local!);
    }
    const camera = this.local?.getVideoTracks().length;
    const first = !peer.remoteDescription;
    if (first && this.type === 'video' && !camera) peer.addTransceiver('video', { direction: 'recvonly' });
  }

  private async offer(peer: RTCPeerConnection, host: MediaHost): Promise<void> {
    try {
      this.offering = true;
      await peer.setLocalDescription();
      if (peer.localDescription?.type === 'offer') host.sdp('offer', peer.localDescription.sdp);
    } catch {
      // the connection is closing
    } finally {
      this.offering = false;
    }
  }

  private queue(fn: (peer: RTCPeerConnection) => Promise<void>): Promise<void> {
    const done = this.work.then(() => (this.peer && !this.closed ? fn(this.peer) : undefined));
    this.work = done.catch(() => {});
    return done;
  }
}

/** WebRTC of a page, where there is one. */
export function pageRtc(): Rtc | undefined {
  const devices = globalThis.navigator?.mediaDevices;
  if (typeof RTCPeerConnection !== 'function' || !devices) return undefined;
  return {
    connection: (config) => new RTCPeerConnection(config),
    media: (constraints) => devices.getUserMedia(constraints),
    cameras: async () =>
      (await devices.enumerateDevices()).filter((d) => d.kind === 'videoinput').map((d) => d.deviceId),
  };
}
