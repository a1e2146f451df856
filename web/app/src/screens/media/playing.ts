// Of all players of the page the one that was started last plays.
let current: HTMLMediaElement | null = null;

export function takePlaying(it: HTMLMediaElement): void {
  if (current !== it) current?.pause();
  current = it;
}
export function leavePlaying(it: HTMLMediaElement): void {
  it.pause();
  if (current === it) current = null;
}
