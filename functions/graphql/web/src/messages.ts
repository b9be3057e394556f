/** A chat message of the schema. Ids are ULIDs, which sort by time. */
export interface Message {
  id: string;
  content: string;
  createdAt: string;
  senderName: string;
  mine: boolean; // whether the viewer wrote it; always false without a token
}

/** A message of this user that the server has not confirmed. */
export interface Draft {
  key: number;
  content: string;
  createdAt: string;
  after: string; // the newest known id when it was written; "" for none
  id?: string; // its own, once the server has sent it
  failure?: string; // why it could not be sent; it is pending if there is none
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

/**
 * The drafts still to be shown with the messages, and the ids of the messages that
 * began as drafts. A draft's message may come by the subscription before the answer
 * with its id, or instead of a lost answer. It is then recognised by its text, and
 * each message stands for one draft.
 */
export function sort(
  drafts: readonly Draft[], messages: readonly Message[], isMine: (m: Message) => boolean,
): { outstanding: Draft[]; own: Set<string> } {
  const own = new Set(drafts.flatMap((draft) => draft.id ?? []));
  const outstanding = drafts.filter((draft) => {
    if (draft.id) return false;
    const arrived = messages.find((m) =>
      m.id > draft.after && m.content === draft.content && isMine(m) && !own.has(m.id));
    if (arrived) own.add(arrived.id);
    return !arrived;
  });
  return { outstanding, own };
}
