import { isolated } from './names.ts';

/** Who types: until when each is shown, in ms since the epoch, by who it is. */
export type Typists = ReadonlyMap<string, { name: string; until: number }>;

export const shownFor = 6000; // ms after the last event

/** Somebody has typed now. */
export const typed = (typists: Typists, who: string, name: string, now: number): Typists =>
  new Map(typists).set(who, { name, until: now + shownFor });

/** Without those whose time is up, and those whose message has come: messages have no more than the name. */
export const without = (typists: Typists, now: number, names: readonly string[] = []): Typists =>
  new Map([...typists].filter(([, t]) => t.until > now && !names.includes(t.name)));

/** What the user reads. */
export function sentence(typists: readonly string[]): string {
  const names = typists.map(isolated);
  switch (names.length) {
    case 0: return '';
    case 1: return `${names[0]} is typing…`;
    case 2: return `${names[0]} and ${names[1]} are typing…`;
    default: return 'Several people are typing…';
  }
}
