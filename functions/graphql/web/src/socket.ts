import { createClient, type Client } from 'graphql-ws';
import { isRefusal, resuming, settings, waitTime } from './resume.mjs';

const keepAlive = 60_000; // ms; shorter than necessary, as a user is watching

/** What the user sees of the connection. */
export type Status =
  | { state: 'connecting' }
  | { state: 'live' }
  | { state: 'reconnecting'; at: number } // when, in ms since the epoch
  | { state: 'refused'; reason: string };

/** A value that components read with useSyncExternalStore. */
export class Observed<T> {
  #listeners = new Set<() => void>();
  #value: T;
  constructor(value: T) {
    this.#value = value;
  }
  get = () => this.#value;
  set(value: T) {
    this.#value = value;
    for (const listener of this.#listeners) listener();
  }
  listen = (listener: () => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };
}

/** The reason in a refusal: `connection_error: 4401 Unauthorized`. */
export const reasonOf = (e: Error): string => /connection_error: ([^"]+)/.exec(e.message)?.[1] ?? e.message;

/** Whether the connection ended for good: an expired token cannot be renewed by this page. */
const isFinal = (e: unknown): boolean => isRefusal(e) || /connection_error: 4401 Token expired/.test(String((e as Error)?.message));

/** Identifies the user, over HTTP and on the socket. */
export const authorization = (token: string): Record<string, string> => (token ? { Authorization: `Bearer ${token}` } : {});

/** The socket to the server, and its status. */
export function openSocket(url: string, token: string): { client: Client; status: Observed<Status> } {
  const status = new Observed<Status>({ state: 'connecting' });
  let wake = () => {}; // ends the wait for the next attempt
  let heard = Date.now(); // when the server was last heard
  const client = createClient({
    ...settings,
    url,
    connectionParams: authorization(token),
    keepAlive,
    shouldRetry: (e) => !isFinal(e),
    retryWait: async (retries) => {
      const wait = waitTime(retries);
      status.set({ state: 'reconnecting', at: Date.now() + wait });
      await new Promise<void>((resolve) => {
        wake = resolve;
        setTimeout(resolve, wait);
      });
      await new Promise((resolve) => setTimeout(resolve, 100)); // the old socket's last event is not the new one's
    },
    on: {
      connecting: (isRetry) => status.set(isRetry ? { state: 'reconnecting', at: 0 } : { state: 'connecting' }),
      connected: () => status.set({ state: 'live' }),
      message: () => (heard = Date.now()),
      error: (e) => {
        if (isFinal(e)) status.set({ state: 'refused', reason: reasonOf(e as Error) });
      },
    },
  });
  // Back from sleep or in another network: a socket that was silent for longer than
  // a ping and its answer take is dead, and its timers have slept too.
  const awake = () => {
    if (document.hidden) return;
    if (status.get().state === 'live' && Date.now() - heard > 1.5 * keepAlive) client.terminate();
    wake();
  };
  addEventListener('online', awake);
  document.addEventListener('visibilitychange', awake);
  return { client: resuming(client), status };
}
