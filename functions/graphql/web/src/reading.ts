import type { ReadMark } from './apollo.ts';

/** How far each has read, by reader. */
export type Marks = ReadonlyMap<string, ReadMark>;

/** Adds marks. They only move forward, however they come. */
export function advance(marks: Marks, news: readonly ReadMark[]): Marks {
  const all = new Map(marks);
  for (const m of news) {
    const known = all.get(m.reader);
    if (!known || known.messageId < m.messageId) all.set(m.reader, m);
  }
  return all;
}

/** The names of the others who have read a message. */
export const readersOf = (marks: Marks, id: string, isMe: (reader: string) => boolean): string[] =>
  [...marks.values()].filter((m) => m.messageId >= id && !isMe(m.reader)).map((m) => m.name).sort();
