/** A chat message, as the schema has it. Ids are ULIDs: they order by time. */
export interface Message {
  id: string;
  content: string;
  createdAt: string;
  senderName: string;
  mine: boolean; // whether the viewer wrote it, by a token; never without
}

/** A message of this user that the server has not confirmed. */
export interface Draft {
  key: number;
  content: string;
  createdAt: string;
  after: string; // the newest id that was known when it was written; "" for none
  id?: string; // its own, once the server has told
  failure?: string; // why it could not be sent; pending without
}

/**
 * Adds items to those that are there, by ascending id and each once. Events
 * come twice, late and out of order: delivery is at least once.
 */
export function merge<T>(existing: readonly T[], incoming: readonly T[], idOf: (item: T) => string): T[] {
  const byId = new Map(existing.map((item) => [idOf(item), item]));
  for (const item of incoming) byId.set(idOf(item), item);
  return [...byId].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, item]) => item);
}

/** The id of the newest message, "" when there is none. */
export const newest = (messages: readonly Message[]): string => messages.at(-1)?.id ?? '';

/**
 * The drafts that are still to be shown beside the messages, and the ids of those
 * messages that have come of drafts. A draft's message may come by the subscription
 * before the answer that tells its id, or instead of an answer that was lost: then
 * it is known by its text, and each message stands for one draft.
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
