import { createClient, type Client } from 'graphql-ws';
import { Observed } from './observed.ts';
import { closing } from './sentence.ts';
import { isRefusal, resuming, settings, waitTime } from '../../../../shared/js/resume.mjs';

const whileVisible = 60_000; // ms: who is watching must soon know that the network is lost

/** What the user sees of the connection. */
export type Status =
  | { state: 'connecting' }
  | { state: 'live' }
  | { state: 'reconnecting'; at: number } // when, in ms since the epoch
  | { state: 'offline' } // the browser says so
  | { state: 'refused'; reason: string };

/** The code and reason of a refusal: 4401 Unauthorized. */
const reasonOf = (e: unknown): string => {
  const closed = closing(e);
  return closed ? `${closed.code} ${closed.reason}` : String((e as Error)?.message ?? '');
};

/** Whether the connection ended for good: an expired token cannot be renewed by this page. */
const isFinal = (e: unknown): boolean => isRefusal(e) || reasonOf(e) === '4401 Token expired';

/** Identifies the user, over HTTP and on the socket. */
export const authorization = (token: string): Record<string, string> => (token ? { Authorization: `Bearer ${token}` } : {});

/** The socket to the server, and its status. connectionParams say who the user is. */
export function openSocket(url: string, connectionParams: Record<string, unknown>): { client: Client; status: Observed<Status> } {
  const status = new Observed<Status>({ state: 'connecting' });
  // A browser without a network may still reach its own machine, so it is tried all the same.
  const reconnecting = (at: number) => status.set(navigator.onLine ? { state: 'reconnecting', at } : { state: 'offline' });
  let wake = () => {}; // ends the wait for the next attempt
  const refuse = (e: unknown) => isFinal(e) && status.set({ state: 'refused', reason: reasonOf(e) });
  const client = createClient({
    ...settings,
    url,
    connectionParams,
    shouldRetry: (e) => !isFinal(e),
    retryWait: async (retries) => {
      const wait = waitTime(retries);
      reconnecting(Date.now() + wait);
      await new Promise<void>((resolve) => {
        wake = resolve;
        setTimeout(resolve, wait);
      });
      await new Promise((resolve) => setTimeout(resolve, 100)); // the old socket's last event is not the new one's
    },
    on: {
      connecting: (isRetry) => {
        if (isRetry) reconnecting(0);
        else if (status.get().state !== 'live') status.set({ state: 'connecting' }); // a live one only changes sockets
      },
      connected: () => status.set({ state: 'live' }),
      error: refuse, // a message said so
      closed: refuse, // the close did
    },
  });
  addEventListener('offline', () => {
    if (status.get().state === 'refused') return;
    reconnecting(0);
    client.terminate();
  });
  addEventListener('online', () => {
    if (status.get().state === 'offline') reconnecting(0);
    wake();
  });
  document.addEventListener('visibilitychange', () => document.hidden || wake());
  return { client: resuming(client, { shouldRetry: (e) => !isFinal(e), whileVisible }), status };
}
