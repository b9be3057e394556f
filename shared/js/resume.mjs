// Subscriptions that survive a lost connection without a gap: what every client
// of Subwire needs around the npm client graphql-ws. It is plain JavaScript with
// JSDoc types, so that pages and Node programs import the same file.

/**
 * @typedef {import('graphql-ws').Client} Client
 * @typedef {import('graphql-ws').SubscribePayload} SubscribePayload
 * @typedef {import('graphql-ws').Sink<any>} Sink
 */

/**
 * What identifies a result: the id of its event; those of its list, undefined for an item that has none.
 * @typedef {string | undefined | (string | undefined)[]} Ids
 */

/**
 * @typedef {object} Options
 * @property {(result: any) => Ids} [idOf]
 *   the id of the event in an execution result, or those of its list, one for each item in its order;
 *   default: the field `id` of the first root field. A list with one id is new or not as a whole.
 * @property {(attempts: number) => Promise<void>} [retryWait]
 *   waits before an operation is sent again; default backOff
 * @property {(error: unknown) => boolean} [shouldRetry]
 *   whether to try again after the connection ended; default as in settings. Give the client's own, if it has another.
 * @property {number} [idle]
 *   ms without a message after which the server closes a socket; default API Gateway's, 10 minutes
 * @property {number} [life]
 *   ms after which the server closes every socket; default API Gateway's, 2 hours. Subwire's other host gives a day.
 * @property {number} [whileVisible]
 *   ms of silence after which a page that is visible asks whether the server is there; default never
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
 * Settings of graphql-ws for a client in `resuming`, which keeps the socket open. Without it set keepAlive.
 * @satisfies {Partial<import('graphql-ws').ClientOptions>}
 */
export const settings = {
  keepAlive: 0, // resuming keeps the socket open, for less
  connectionAckWaitTimeout: 10_000, // otherwise an acknowledgement that is lost is awaited for ever
  lazyCloseTimeout: 30_000, // the next page of an application may subscribe again
  retryAttempts: Infinity,
  retryWait: backOff,
  shouldRetry, // unless it cannot get better
};

/**
 * The id of the event in an execution result, if the document asks for the id of its root field;
 * of a list, that of each item.
 * @param {any} result
 * @returns {Ids}
 */
export const idOf = (result) => {
  const root = Object.values(/** @type {Record<string, any>} */ (result.data ?? {}))[0];
  return Array.isArray(root) ? root.map((event) => event?.id) : root?.id;
};

const pongWait = 10_000; // ms after which a socket counts as lost
const justHeard = 30_000; // ms since a message, in which a page that wakes does not ask
const asleep = 120_000; // ms without a tick, of which a hidden page gets one each minute
const remembered = 1000; // ids per subscription, to recognise duplicates

/**
 * Wraps a graphql-ws client. A subscription whose document declares $after is
 * resumed after each loss of the connection: it is sent again with the largest
 * id seen, and repeated events are dropped, also from lists. It begins at the `after` of its
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
 * does not ask it about some close codes.
 *
 * It keeps the socket open by heartbeats one way, and asks whether the server is
 * there when that is in doubt: when a page becomes visible, is restored or gets a
 * network, when the machine has slept, or when a query or mutation has no answer for
 * 10 s. A socket that does not answer within 10 s is given up. Before the server cuts
 * a socket for its age, the client leaves it for another, at a random moment, so that
 * those who came together do not come again together.
 *
 * @param {Client} client
 * @param {Options} [options]
 * @returns {Client} iterate throws: it cannot resume
 */
export function resuming(client, options = {}) {
  const socket = watch(client, options);
  let disposed = false;
  return {
    ...client,
    subscribe: (payload, sink) => keep(client, payload, sink, options, socket, () => disposed),
    iterate() {
      throw new Error('iterate does not resume: use subscribe');
    },
    dispose() {
      disposed = true;
      socket.forget();
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
 * @param {Watched} socket
 * @param {() => boolean} isDisposed
 */
function keep(client, payload, sink, options, socket, isDisposed) {
  const { idOf: id = idOf, retryWait = backOff, shouldRetry = settings.shouldRetry } = options;
  // The list of a query is an answer, of which nothing is a repeat.
  const resumes = /\$after\b/.test(payload.query) && !/^\s*(query|mutation)\b/.test(payload.query);
  const repeats = resumes || /^\s*subscription\b/.test(payload.query);
  const { sent, isNew } = resumes ? position(payload) : { sent: payload, isNew: () => true };
  const isPassing = (/** @type {any} */ error) =>
    Array.isArray(error)
      ? repeats && error[0]?.extensions?.code === 'UNAVAILABLE'
      : isUnasked(error) && shouldRetry(error);

  let attempts = 0, stopped = false, unsubscribe = () => {};
  const answered = repeats ? () => {} : socket.asked();
  const begin = () => {
    const begun = Date.now();
    unsubscribe = client.subscribe(sent, {
      next(result) {
        answered();
        const ids = resumes ? [id(result)].flat() : [];
        const known = ids.map((event) => event != null && !isNew(event)); // notes each of them
        if (ids.length > 0 && !known.includes(false)) return;
        if (ids.some((event, i) => event != null && !known[i])) attempts = 0;
        sink.next(known.includes(true) ? without(result, known) : result);
      },
      async error(error) {
        if (!isPassing(error)) return answered(), sink.error(error);
        // What comes at once on each attempt, as a current value, is no progress; lasting is.
        if (Date.now() - begun > longestWait) attempts = 0;
        await retryWait(attempts++);
        stopped || isDisposed() ? complete() : begin();
      },
      complete,
    });
  };
  const complete = () => (answered(), sink.complete());
  begin();
  return () => {
    stopped = true;
    answered();
    unsubscribe();
  };
}

/**
 * The result without the items of its list that are known. It stays whole if that is not sure to be
 * right: known does not tell each item, there are other fields, or errors whose paths count the items.
 * @param {any} result
 * @param {boolean[]} known
 */
function without(result, known) {
  const [field, ...others] = Object.keys(result.data ?? {});
  const list = result.data?.[field];
  if (!Array.isArray(list) || list.length !== known.length || others.length > 0 || result.errors) return result;
  return { ...result, data: { [field]: list.filter((_, i) => !known[i]) } };
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
 * @typedef {object} Watched
 * @property {() => () => void} asked
 *   says that a query or mutation is awaited, and returns what to call when it is not any more
 * @property {() => void} forget stops listening to the page
 */

/**
 * Keeps the client's socket open, and ends it when it is lost or its time is up: a
 * lost network is not reported.
 * @param {Client} client
 * @param {Options} options
 * @returns {Watched}
 */
function watch(client, { idle = 600_000, life = 7_200_000, whileVisible = 0 }) {
  // A hidden page has a tick each minute, so a heartbeat is up to a minute late.
  const heartbeat = 0.875 * idle, tick = Math.min(15_000, idle / 40);
  let socket = /** @type {WebSocket | undefined} */ (undefined);
  let timer = /** @type {ReturnType<typeof setInterval> | undefined} */ (undefined);
  let deadline = /** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined);
  let awaited = 0; // queries and mutations
  let sent = 0, heard = 0, ticked = 0, leave = 0; // ms since the epoch

  const send = (/** @type {'ping' | 'pong'} */ type) => {
    if (socket?.readyState === 1) socket.send(`{"type":"${type}"}`);
    sent = Date.now();
  };
  const expectMessage = () => {
    deadline ??= setTimeout(() => client.terminate(), pongWait);
  };
  const forget = () => {
    clearTimeout(deadline);
    deadline = undefined;
  };
  const ask = () => {
    if (!socket || deadline) return;
    send('ping');
    expectMessage();
  };
  const wake = () => Date.now() - heard > justHeard && ask();

  const look = () => {
    const now = Date.now(), slept = now - ticked > asleep;
    ticked = now;
    if (!socket) return;
    if (now >= leave && !awaited) {
      // After this code graphql-ws connects again without a wait.
      socket.close(1000, 'Normal Closure');
      socket = undefined;
      expectMessage(); // a lost server does not answer a close, either
    } else if (slept || (whileVisible && isVisible() && now - heard >= whileVisible)) {
      ask();
    } else if (now - sent >= heartbeat) {
      send('pong'); // a heartbeat: nobody answers it
    }
  };

  client.on('connected', (opened) => {
    forget();
    socket = /** @type {WebSocket} */ (opened);
    sent = heard = ticked = Date.now();
    leave = sent + life * (5 / 6 + Math.random() / 8); // 100 to 115 minutes of 2 hours
    clearInterval(timer);
    timer = setInterval(look, tick);
  });
  client.on('message', () => {
    heard = Date.now();
    if (socket) forget();
  });
  client.on('ping', (received) => received || expectMessage()); // one of the application's keepAlive
  client.on('closed', () => {
    socket = undefined;
    clearInterval(timer);
    forget();
  });

  return {
    forget: onWake(wake),
    asked() {
      awaited++;
      const doubt = setTimeout(ask, pongWait);
      let done = false;
      return () => {
        if (done) return;
        done = true;
        awaited--;
        clearTimeout(doubt);
      };
    },
  };
}

/** Whether somebody may be looking: not in a program without a page. */
const isVisible = () => typeof document !== 'undefined' && !document.hidden;

/**
 * Calls wake when a page becomes visible, is restored or thawed, or gets a network.
 * @param {() => void} wake
 * @returns {() => void} ends that
 */
function onWake(wake) {
  const page = new AbortController(), { signal } = page;
  if (typeof document !== 'undefined') {
    document.addEventListener('visibilitychange', () => document.hidden || wake(), { signal });
    document.addEventListener('resume', wake, { signal }); // thawed ("Page Lifecycle")
    addEventListener('pageshow', (e) => e.persisted && wake(), { signal }); // back from the back/forward cache
    addEventListener('online', wake, { signal });
  }
  return () => page.abort();
}
