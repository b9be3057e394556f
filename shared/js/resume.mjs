// Subscriptions that survive a lost connection without a gap: what every client
// of Subwire needs around the npm client graphql-ws. It is plain JavaScript with
// JSDoc types, so that pages and Node programs import the same file.

/**
 * @typedef {import('graphql-ws').Client} Client
 * @typedef {import('graphql-ws').SubscribePayload} SubscribePayload
 * @typedef {import('graphql-ws').Sink<any>} Sink
 */

/**
 * @typedef {object} Options
 * @property {(result: any) => string | undefined} [idOf]
 *   the id of the event in an execution result; default: the field `id` of the first root field
 * @property {(attempts: number) => Promise<void>} [retryWait]
 *   waits before an operation is sent again; default backOff
 * @property {(error: unknown) => boolean} [shouldRetry]
 *   whether to try again after the connection ended; default as in settings. Give the client's own, if it has another.
 */

// Reasons that may have passed by the next attempt. The message's payload says so
// in its member retry, but graphql-ws passes on only the type.
const passing = /^(4408 |4500 |4401 (Token|Connection) expired|4403 Too many connections|4429 Allowance spent)/;

// Close codes that the next attempt would meet again: RFC 6455 7.4.1, and those of the protocol.
const final = [1002, 1003, 1007, 1008, 1009, 1010, 4400, 4401, 4403, 4406, 4409, 4429];

/**
 * Whether the server refused the connection and a retry would not help.
 * @param {unknown} error what graphql-ws gives to shouldRetry or a sink
 * @returns {boolean}
 */
export const isRefusal = (error) => {
  const { message, code, reason } = /** @type {any} */ (error ?? {});
  const [, posted] = String(message).split('connection_error: ');
  if (posted !== undefined) return !passing.test(posted);
  return final.includes(code) && !passing.test(`${code} ${reason}`);
};

const longestWait = 30_000; // ms

/**
 * How long to wait before the next attempt: 1 s, doubled each time up to 30 s, less up to half of it at random.
 * @param {number} attempts how many have failed
 * @returns {number} milliseconds
 */
export const waitTime = (attempts) => Math.min(1000 * 2 ** attempts, longestWait) * (1 - Math.random() / 2);

/**
 * Waits that long.
 * @param {number} attempts how many have failed
 * @returns {Promise<void>}
 */
export const backOff = (attempts) => new Promise((resolve) => setTimeout(resolve, waitTime(attempts)));

const shouldRetry = (/** @type {unknown} */ error) => !isRefusal(error);

/**
 * Settings of graphql-ws that fit API Gateway.
 * @satisfies {Partial<import('graphql-ws').ClientOptions>}
 */
export const settings = {
  keepAlive: 120_000, // a socket that is silent for 10 minutes is closed
  connectionAckWaitTimeout: 10_000, // otherwise an acknowledgement that is lost is awaited for ever
  lazyCloseTimeout: 30_000, // the next page of an application may subscribe again
  retryAttempts: Infinity,
  retryWait: backOff,
  shouldRetry, // unless it cannot get better
};

/**
 * The id of the event in an execution result, if the document asks for the id of its root field.
 * @param {any} result
 * @returns {string | undefined}
 */
export const idOf = (result) => Object.values(/** @type {Record<string, any>} */ (result.data ?? {}))[0]?.id;

const pongWait = 10_000; // ms after which a socket counts as lost
const remembered = 1000; // ids per subscription, to recognise duplicates

/**
 * Wraps a graphql-ws client. A subscription whose document declares $after is
 * resumed after each loss of the connection: it is sent again with the largest
 * id seen, and repeated events are dropped. It begins at the `after` of its
 * variables, the newest id that the application has. If it has none, as in an
 * empty chat, the lowest id ('0'.repeat(26)) leaves no gap either. Ids sort by
 * time; events may come in another order.
 *
 * A document that begins with `subscription` is sent again on the error
 * UNAVAILABLE, too, which may have passed; without $after, it misses what came
 * in between. Queries and mutations get that error: only the application knows
 * whether to repeat them.
 *
 * No operation ends with its connection, unless shouldRetry says so: graphql-ws
 * does not ask it about some close codes. A socket that does not answer the
 * client's ping is given up.
 *
 * @param {Client} client
 * @param {Options} [options]
 * @returns {Client} iterate throws: it cannot resume
 */
export function resuming(client, options = {}) {
  watch(client);
  let disposed = false;
  return {
    ...client,
    subscribe: (payload, sink) => keep(client, payload, sink, options, () => disposed),
    iterate() {
      throw new Error('iterate does not resume: use subscribe');
    },
    dispose() {
      disposed = true;
      return client.dispose();
    },
  };
}

/**
 * Runs an operation until it ends.
 * @param {Client} client
 * @param {SubscribePayload} payload
 * @param {Sink} sink
 * @param {Options} options
 * @param {() => boolean} isDisposed
 */
function keep(client, payload, sink, options, isDisposed) {
  const { idOf: id = idOf, retryWait = backOff, shouldRetry = settings.shouldRetry } = options;
  const resumes = /\$after\b/.test(payload.query);
  const repeats = resumes || /^\s*subscription\b/.test(payload.query);
  const { sent, isNew } = resumes ? position(payload) : { sent: payload, isNew: () => true };
  const isPassing = (/** @type {any} */ error) =>
    Array.isArray(error)
      ? repeats && error[0]?.extensions?.code === 'UNAVAILABLE'
      : isUnasked(error) && shouldRetry(error);

  let attempts = 0, stopped = false, unsubscribe = () => {};
  const begin = () => {
    const begun = Date.now();
    unsubscribe = client.subscribe(sent, {
      next(result) {
        const event = resumes ? id(result) : undefined;
        if (event === undefined) return sink.next(result);
        if (!isNew(event)) return;
        attempts = 0;
        sink.next(result);
      },
      async error(error) {
        if (!isPassing(error)) return sink.error(error);
        // What comes at once on each attempt, as a current value, is no progress; lasting is.
        if (Date.now() - begun > longestWait) attempts = 0;
        await retryWait(attempts++);
        stopped || isDisposed() ? sink.complete() : begin();
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

/**
 * Whether error is a close event about which graphql-ws gives up without asking
 * shouldRetry, though the reason may pass. Some are its own, as 4004 after a
 * frame of API Gateway; the event may be a late one of an earlier socket.
 * @param {any} error
 */
const isUnasked = (error) => [1011, 4004, 4005, 4401, 4429, 4500].includes(error?.code);

/**
 * Where a subscription is.
 * @param {SubscribePayload} payload
 */
function position(payload) {
  let newest = /** @type {string | null | undefined} */ (payload.variables?.after);
  const seen = new Set([newest]);
  return {
    // graphql-ws writes the same payload object each time it connects, so a getter
    // runs each time.
    sent: { ...payload, variables: { ...payload.variables, get after() { return newest; } } },
    isNew(/** @type {string} */ event) {
      if (seen.has(event)) return false;
      seen.add(event);
      if (seen.size > remembered) seen.delete(seen.values().next().value);
      if (!newest || event > newest) newest = event;
      return true;
    },
  };
}

/**
 * Closes a socket that has gone silent: a lost network is not reported.
 * @param {Client} client
 */
function watch(client) {
  let timer = /** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined);
  const stop = () => clearTimeout(timer);
  client.on('ping', (received) => {
    if (!received) timer = setTimeout(() => client.terminate(), pongWait);
  });
  client.on('pong', (received) => received && stop());
  client.on('closed', stop);
}
