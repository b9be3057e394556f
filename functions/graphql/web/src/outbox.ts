import { Observed } from './observed.ts';
import { randomId, type Storage } from './storage.ts';

/** A message of this user that the server has not confirmed. */
export interface Draft {
  key: string; // the server writes it once, however often it is sent
  chatId: string;
  content: string;
  createdAt: string;
  after: string; // the newest known id of the chat when it was written; "" for none
  failure?: string; // why it cannot be sent; it is pending if there is none
}

/** What the user sees of the outbox. */
export interface Contents {
  drafts: readonly Draft[]; // of all chats, oldest first
  wait: string; // what the oldest pending draft waits for, "" while it is being sent
}

export const mostDrafts = 50;
const longest = 8 << 10; // bytes of UTF-8, as the server allows
const mayBeSentFor = 20 * 3600_000; // ms; the server knows a key for a day

/** Sends a draft. It throws a Refusal if sending it again cannot help. */
export type Post = (draft: Draft) => Promise<void>;
export class Refusal extends Error {}

/** Runs one call at a time, of all tabs. */
export type Lock = (run: () => Promise<void>) => Promise<void>;

interface Config {
  person: string; // whose drafts they are; each has an own outbox
  storage: Storage;
  post: Post;
  lock: Lock;
  waitTime: (attempts: number) => number; // ms
}

/**
 * Keeps drafts until the server has confirmed or refused them, and sends them one
 * after the other, in the order written. All tabs of a person share the drafts: each
 * is an item of the storage, so that no tab overwrites another's.
 */
export class Outbox {
  readonly contents = new Observed<Contents>({ drafts: [], wait: '' });
  #config: Config;
  #prefix: string;
  #isStopped = false;
  #isSending = false;
  #attempts = 0;
  #wake = () => {};
  constructor(config: Config) {
    this.#config = config;
    this.#prefix = prefixOf(config.person);
    this.refresh();
  }

  /** Begins to send what is there. */
  start() {
    this.#isStopped = false;
    void this.#run();
  }
  stop() {
    this.#isStopped = true;
    this.#wake();
  }
  /** Tries again at once: the network may be back, or another tab has changed the drafts. */
  wake() {
    this.refresh();
    this.#attempts = 0;
    this.#wake();
    void this.#run();
  }

  /** Takes a message in. Returns why it does not, or "". */
  add(chatId: string, content: string, after: string): string {
    this.refresh();
    const { drafts } = this.contents.get();
    if (drafts.length >= mostDrafts) return 'Too many messages wait to be sent.';
    if (new TextEncoder().encode(content).length > longest) return 'The message is too long. Send it in parts.';
    const last = Date.parse(drafts.at(-1)?.createdAt ?? '') || 0; // two of one millisecond keep their order
    this.#put({ key: randomId(), chatId, content, createdAt: new Date(Math.max(Date.now(), last + 1)).toISOString(), after });
    void this.#run();
    return '';
  }
  discard(draft: Draft) {
    this.#config.storage.remove(this.#prefix + draft.key);
    this.refresh();
  }
  /** Reads the drafts, which other tabs change too. */
  refresh() {
    const drafts = this.#config.storage.keys()
      .filter((key) => key.startsWith(this.#prefix))
      .flatMap((key) => parse(this.#config.storage.get(key)) ?? [])
      .sort((a, b) => (a.createdAt + a.key < b.createdAt + b.key ? -1 : 1));
    this.#show({ drafts });
  }

  #put(draft: Draft) {
    this.#config.storage.set(this.#prefix + draft.key, JSON.stringify(draft));
    this.refresh();
  }
  #show(change: Partial<Contents>) {
    this.contents.set({ ...this.contents.get(), ...change });
  }
  #next(): Draft | undefined {
    return this.contents.get().drafts.find((d) => d.failure === undefined);
  }

  async #run() {
    if (this.#isSending) return;
    this.#isSending = true;
    while (!this.#isStopped && this.#next()) {
      try {
        await this.#config.lock(() => this.#send());
        this.#attempts = 0;
        this.#show({ wait: '' });
      } catch (e) {
        this.#show({ wait: e instanceof Error ? e.message : String(e) });
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
          setTimeout(resolve, this.#config.waitTime(this.#attempts++));
        });
      }
    }
    this.#isSending = false;
  }

  /** Sends the oldest pending draft, which another tab may have done meanwhile. */
  async #send() {
    this.refresh();
    const draft = this.#next();
    if (!draft) return;
    if (Date.now() - Date.parse(draft.createdAt) > mayBeSentFor) {
      return this.#put({ ...draft, failure: 'It was written long ago, and may have been sent.' });
    }
    try {
      await this.#config.post(draft);
    } catch (e) {
      if (!(e instanceof Refusal)) throw e;
      return this.#put({ ...draft, failure: e.message });
    }
    this.discard(draft);
  }
}

const folder = 'subwire.outbox/';
const prefixOf = (person: string) => `${folder}${encodeURIComponent(person)}/`;

/** Of whom drafts are kept, and how many. They are sent when the person comes again. */
export function waiting(storage: Storage): Map<string, number> {
  const all = new Map<string, number>();
  for (const key of storage.keys()) {
    const draft = key.startsWith(folder) && parse(storage.get(key));
    if (!draft || draft.failure !== undefined) continue;
    const person = decodeURIComponent(key.slice(folder.length).split('/')[0]!);
    all.set(person, (all.get(person) ?? 0) + 1);
  }
  return all;
}

/** Reads a draft. Undefined if another program wrote it. */
function parse(text: string | null): Draft | undefined {
  try {
    const d = JSON.parse(text ?? '');
    const isDraft = [d.key, d.chatId, d.content, d.createdAt, d.after, d.failure ?? ''].every((part) => typeof part === 'string');
    return isDraft && !Number.isNaN(Date.parse(d.createdAt)) ? d : undefined;
  } catch {
    return undefined;
  }
}
