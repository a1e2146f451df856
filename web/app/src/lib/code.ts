// A person's number as it is given from one to another: IM- and the id in base 36, six places at least.
export function codeOf(id: number): string {
  return `IM-${id.toString(36).toUpperCase().padStart(6, '0')}`;
}

/** The id that a code names; 0 if it is none. */
export function idOfCode(text: string): number {
  const code = /^\s*IM-([0-9A-Z]{1,11})\s*$/i.exec(text);
  const id = code ? parseInt(code[1]!, 36) : 0;
  return Number.isSafeInteger(id) ? id : 0;
}
