import type { Client, SubscribePayload } from 'graphql-ws';
import { Observed } from './observed.ts';
import { sentence } from './sentence.ts';

/** A result of a subscription, as it is listed. */
export interface Listed {
  n: number; // 1 for the first of its subscription
  at: number; // ms since the epoch
  text: string;
}

/** A subscription that GraphiQL has begun, and what it got. */
export interface Listening {
  id: number;
  name: string;
  state: 'running' | 'complete' | 'stopped' | 'refused';
  why: string; // of a refusal
  count: number;
  newest: readonly Listed[];
}

const kept = 200; // results of a subscription that stay listed

/** The subscriptions of the page. They run until they end, or are stopped: no other operation ends them. */
export class Listenings {
  readonly all = new Observed<readonly Listening[]>([]);
  #stops = new Map<number, () => void>();
  #begun = 0;

  begin(client: Pick<Client, 'subscribe'>, name: string, payload: SubscribePayload) {
    const id = ++this.#begun;
    this.all.set([...this.all.get(), { id, name, state: 'running', why: '', count: 0, newest: [] }]);
    const unsubscribe = client.subscribe(payload, {
      next: (result) => this.#change(id, ({ count, newest }) => {
        const text = JSON.stringify(result.errors ? result : result.data);
        return { count: count + 1, newest: [...newest, { n: count + 1, at: Date.now(), text }].slice(-kept) };
      }),
      error: (e) => this.#end(id, { state: 'refused', why: sentence(e) }),
      complete: () => this.#end(id, { state: 'complete' }),
    });
    this.#stops.set(id, unsubscribe);
  }
  stop(id: number) {
    this.#end(id, { state: 'stopped' });
    this.#stops.get(id)?.();
  }
  /** Stops it and forgets what it got. */
  remove(id: number) {
    this.stop(id);
    this.#stops.delete(id);
    this.all.set(this.all.get().filter((one) => one.id !== id));
  }
  /** The first ending counts: graphql-ws also completes a subscription that was stopped or failed. */
  #end(id: number, end: Partial<Listening>) {
    this.#change(id, ({ state }) => (state === 'running' ? end : {}));
  }
  #change(id: number, change: (now: Listening) => Partial<Listening>) {
    this.all.set(this.all.get().map((one) => (one.id === id ? { ...one, ...change(one) } : one)));
  }
}
