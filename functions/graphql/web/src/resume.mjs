// Subscriptions that survive a lost connection without a gap: what every client
// of Subwire needs around the npm client graphql-ws. It is plain JavaScript with
// JSDoc types, so that pages and Node programs import the same file.

// Reasons that may have passed by the next attempt. The message's payload says so
// in its member retry, but graphql-ws passes on only the type.
const passing = /^(4408 |4500 |4401 (Token|Connection) expired|4403 Too many connections|4429 Allowance spent)/;

/** Whether the server refused the connection and a retry would not help. */
export const isRefusal = (error) => {
  const [, reason] = String(error?.message).split('connection_error: ');
  return reason !== undefined && !passing.test(reason);
};

/** How long to wait before the next attempt, in ms: 1 s, doubled each time up to 30 s, less up to half of it at random. */
export const waitTime = (attempts) => Math.min(1000 * 2 ** attempts, 30_000) * (1 - Math.random() / 2);

/** Waits that long. */
export const backOff = (attempts) => new Promise((resolve) => setTimeout(resolve, waitTime(attempts)));

/** Settings of graphql-ws that fit API Gateway. */
export const settings = {
  keepAlive: 120_000, // a socket that is silent for 10 minutes is closed
  connectionAckWaitTimeout: 10_000, // otherwise an acknowledgement that is lost is awaited for ever
  lazyCloseTimeout: 30_000, // the next page of an application may subscribe again
  retryAttempts: Infinity,
  retryWait: backOff,
  shouldRetry: (error) => !isRefusal(error),
};

/** The id of the event in an execution result, if the document asks for the id of its root field. */
export const idOf = (result) => Object.values(result.data ?? {})[0]?.id;

const pongWait = 10_000; // ms after which a socket counts as lost
const remembered = 1000; // ids per subscription, to recognise duplicates

/**
 * Wraps a graphql-ws client. A subscription whose document declares $after is
 * resumed after each loss of the connection: it is sent again with the largest
 * id seen, and repeated events are dropped. It begins at the `after` of its
 * variables, the newest id that the application has. If it has none, as in an
 * empty chat, the lowest id ('0'.repeat(26)) leaves no gap either. Ids sort by
 * time; events may come in another order. Other operations pass unchanged.
 *
 * A socket that does not answer the client's ping is given up.
 *
 * @param {import('graphql-ws').Client} client
 * @param {{ idOf?: (result: any) => string | undefined, retryWait?: (attempts: number) => Promise<void> }} [options]
 *   idOf: returns the id if it is not in the root field. retryWait: waits before
 *   retrying a subscription that the server could not resume.
 * @returns {import('graphql-ws').Client}
 */
export function resuming(client, options) {
  watch(client);
  return {
    ...client,
    subscribe: (payload, sink) =>
      /\$after\b/.test(payload.query) ? resume(client, payload, sink, options) : client.subscribe(payload, sink),
    iterate() {
      throw new Error('iterate does not resume: use subscribe');
    },
  };
}

function resume(client, payload, sink, { idOf: id = idOf, retryWait = backOff } = {}) {
  let newest = payload.variables?.after;
  const seen = new Set([newest]);
  const isNew = (event) => {
    if (seen.has(event)) return false;
    seen.add(event);
    if (seen.size > remembered) seen.delete(seen.values().next().value);
    if (!newest || event > newest) newest = event;
    return true;
  };
  // graphql-ws writes the same payload object each time it connects, so a getter
  // runs each time.
  const resumed = { ...payload, variables: { ...payload.variables, get after() { return newest; } } };

  let attempts = 0, stopped = false, unsubscribe = () => {};
  const begin = () => {
    unsubscribe = client.subscribe(resumed, {
      next(result) {
        attempts = 0;
        const event = id(result);
        if (event === undefined || isNew(event)) sink.next(result);
      },
      async error(error) {
        if (error?.[0]?.extensions?.code !== 'UNAVAILABLE') return sink.error(error);
        await retryWait(attempts++);
        stopped ? sink.complete() : begin();
      },
      complete: () => sink.complete(),
    });
  };
  begin();
  return () => {
    stopped = true;
    unsubscribe();
  };
}

/** Closes a socket that has gone silent: a lost network is not reported. */
function watch(client) {
  let timer;
  const stop = () => clearTimeout(timer);
  client.on('ping', (received) => {
    if (!received) timer = setTimeout(() => client.terminate(), pongWait);
  });
  client.on('pong', (received) => received && stop());
  client.on('closed', stop);
}
