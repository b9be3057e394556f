import type { Identity } from './identity.ts';
import type { Draft } from './outbox.ts';

/** A chat message of the schema. Ids are ULIDs, which sort by time. */
export interface Message {
  id: string;
  content: string;
  createdAt: string;
  senderName: string;
  mine: boolean; // whether the viewer wrote it; always false without a token
}

/**
 * Adds items to the existing ones, sorted by id and each once. As delivery is
 * at least once, events may come twice, late and out of order.
 */
export function merge<T>(existing: readonly T[], incoming: readonly T[], idOf: (item: T) => string): T[] {
  const byId = new Map(existing.map((item) => [idOf(item), item]));
  for (const item of incoming) byId.set(idOf(item), item);
  return [...byId].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, item]) => item);
}

/** The id of the newest message, "" if there is none. */
export const newest = (messages: readonly Message[]): string => messages.at(-1)?.id ?? '';

/** Whether the user wrote a message: the server knows it of a token, and without one this browser of its own ids. */
export const isOwn = (m: Message, { name, token }: Identity, written: ReadonlySet<string>): boolean =>
  token ? m.mine : written.has(m.id) && m.senderName === name;

/**
 * The messages to show beside the user's drafts. A draft's message may come by the
 * subscription before the answer to its mutation, and looks like one that somebody of the
 * same name wrote. So such a message stays behind its draft until the answer tells.
 */
export function shown(
  messages: readonly Message[], drafts: readonly Draft[], { name, token }: Identity, written: ReadonlySet<string>,
): readonly Message[] {
  const hidden = new Set<string>();
  for (const draft of drafts) {
    if (draft.failure !== undefined) continue;
    const twin = messages.find((m) => m.id > draft.after && m.content === draft.content && !written.has(m.id) && !hidden.has(m.id)
      && (token ? m.mine : m.senderName === name));
    if (twin) hidden.add(twin.id);
  }
  return hidden.size > 0 ? messages.filter((m) => !hidden.has(m.id)) : messages;
}
