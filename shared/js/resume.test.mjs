// Tests of resume.mjs with a fake client: node --test
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { createClient } from 'graphql-ws';
import WebSocket, { WebSocketServer } from 'ws';
import { idOf, isRefusal, resuming, settings } from './resume.mjs';

const query = 'subscription ($after: ID) { newMessage(chatId: "1", after: $after) { id } }';
const next = (id) => ({ data: { newMessage: { id } } });

// fake is a graphql-ws client that records what it would send.
function fake() {
  const f = { sent: [], sinks: [], stops: 0, terminated: 0, listeners: {} };
  f.on = (event, listener) => (f.listeners[event] = listener);
  f.terminate = () => f.terminated++;
  f.dispose = () => {};
  f.subscribe = (payload, sink) => {
    f.payload = payload;
    f.sent.push(JSON.parse(JSON.stringify(payload)).variables);
    f.sinks.push(sink);
    return () => f.stops++;
  };
  f.reconnect = () => f.sent.push(JSON.parse(JSON.stringify(f.payload)).variables);
  return f;
}

function start(variables, options = { retryWait: async () => {} }, document = query) {
  const client = fake();
  const got = [];
  const wrapped = resuming(client, options);
  const stop = wrapped.subscribe(
    { query: document, variables },
    { next: (r) => got.push(r.data?.newMessage.id ?? r), error: (e) => got.push(e), complete: () => got.push('complete') },
  );
  return { client, got, stop, dispose: wrapped.dispose };
}

test('each connect asks for what follows the largest id seen', () => {
  const { client } = start({ chatId: '1', after: 'B' });
  for (const id of ['D', 'C']) client.sinks[0].next(next(id));
  client.reconnect();
  assert.deepEqual(client.sent, [{ chatId: '1', after: 'B' }, { chatId: '1', after: 'D' }]);
});

test('without an id nothing is asked for', () => {
  assert.deepEqual(start({ chatId: '1' }).client.sent, [{ chatId: '1' }]);
});

test('duplicates are left out, late events are not', () => {
  const { client, got } = start({ after: 'B' });
  for (const id of ['B', 'D', 'A', 'D', 'C', 'A']) client.sinks[0].next(next(id));
  assert.deepEqual(got, ['D', 'A', 'C']);
});

const list = (...ids) => ({ data: { events: ids.map((id) => ({ id })) } });
const listQuery = 'subscription ($after: ID) { events(after: $after) { id } }';

// lists gives results to a subscription, and returns what the application saw and what a reconnect asks for.
function lists(results, options = {}, document = listQuery) {
  const client = fake(), got = [];
  resuming(client, options).subscribe(
    { query: document, variables: { after: '1' } },
    { next: (r) => got.push(r), error: assert.fail, complete: assert.fail },
  );
  for (const result of results) client.sinks[0].next(result);
  client.reconnect();
  return { got, after: client.sent.at(-1).after };
}

test('a list has the ids of its events', () => {
  assert.deepEqual(idOf(list('B', 'C', 'A')), ['B', 'C', 'A']);
  assert.deepEqual(idOf(list()), []);
  assert.deepEqual(idOf({ data: { events: [{ text: 'x' }, null] } }), [undefined, undefined]);
  assert.equal(idOf(next('A')), 'A');
  assert.equal(idOf({ data: null }), undefined);
});

for (const [name, results, got, after] of [
  ['a late event beside one that is known', [list('5'), list('5', '4')], [list('5'), list('4')], '5'],
  ['only known ones', [list('4', '5'), list('5'), list('5', '4'), list('1')], [list('4', '5')], '5'],
  ['each is noted, not only the largest', [list('3', '5', '4'), list('3'), list('4')], [list('3', '5', '4')], '5'],
  ['an order that is not by id', [list('3', '9', '4'), list('5')], [list('3', '9', '4'), list('5')], '9'],
  ['one that comes twice in it', [list('5', '5')], [list('5')], '5'],
  ['none', [list(), list()], [list(), list()], '1'],
]) {
  test(`a list with ${name}`, () => assert.deepEqual(lists(results), { got, after }));
}

test('an item without an id is never dropped', () => {
  const items = (...events) => ({ data: { events } });
  const nameless = items({ text: 'x' }, null);
  const mixed = [list('5'), items({ id: '5' }, { text: 'x' }), nameless, nameless];
  assert.deepEqual(lists(mixed).got, [list('5'), items({ text: 'x' }), nameless, nameless]);
});

test('what is cut has the rest of its result', () => {
  const alias = (...ids) => ({ data: { mine: list(...ids).data.events }, extensions: { cost: 1 } });
  assert.deepEqual(lists([alias('5'), alias('5', '4')]).got, [alias('5'), alias('4')]);
});

test('a list that cannot be cut is whole, unless all is known', () => {
  for (const rest of [
    { errors: [{ message: 'no', path: ['events', 1, 'text'] }] },
    { data: { ...list('5', '4').data, other: [] } },
  ]) {
    const result = { ...list('5', '4'), ...rest };
    assert.deepEqual(lists([list('5'), result, result]), { got: [list('5'), result], after: '5' });
  }
});

test('an idOf of the application gives the id of the result, or those of its list', () => {
  const deep = (...ids) => ({ data: { feed: list(...ids).data } });
  const results = [deep('5'), deep('5', '4'), deep('4', '5')];
  const last = (r) => r.data.feed.events.at(-1).id, each = (r) => r.data.feed.events.map((event) => event.id);
  for (const idOf of [last, each]) {
    assert.deepEqual(lists(results, { idOf }), { got: results.slice(0, 2), after: '5' }, String(idOf));
  }
  const keyed = (...keys) => ({ data: { events: keys.map((key) => ({ key })) } });
  const keys = (r) => r.data.events.map((event) => event.key);
  assert.deepEqual(lists([keyed('5'), keyed('5', '4')], { idOf: keys }).got, [keyed('5'), keyed('4')]);
  const batch = (id, ...ids) => ({ ...list(...ids), extensions: { id } });
  const batches = [batch('5', '5'), batch('6', '5', '4'), batch('6', '5', '4')];
  assert.deepEqual(lists(batches, { idOf: (r) => r.extensions.id }), { got: batches.slice(0, 2), after: '6' });
  // Ids that are not one for each item, or without a list.
  const several = [['5'], ['5', '4'], ['4', '5']].map((ids) => ({ ...list('5', '4', '3'), extensions: { ids } }));
  for (const results of [several, several.map((result) => ({ ...result, data: null }))]) {
    assert.deepEqual(lists(results, { idOf: (r) => r.extensions.ids }), { got: results.slice(0, 2), after: '5' });
  }
});

test('the answer of a query is passed on as it is', () => {
  for (const kind of ['query', '\n mutation Q']) {
    const document = `${kind} ($after: ID) { events(after: $after) { id } }`;
    const results = [list('1', '2', '2')];
    assert.deepEqual(lists(results, {}, document), { got: results, after: '1' });
  }
});

test('results without an id pass', () => {
  const { client, got } = start({});
  client.sinks[0].next({ errors: [] });
  assert.deepEqual(got, [{ errors: [] }]);
});

test('what the server cannot resume now is tried again, other errors end it', async () => {
  const { client, got } = start({ after: 'B' });
  client.sinks[0].next(next('C'));
  await client.sinks[0].error([{ message: 'try again', extensions: { code: 'UNAVAILABLE' } }]);
  assert.deepEqual(client.sent, [{ after: 'B' }, { after: 'C' }]);
  const limit = [{ message: 'too much', extensions: { code: 'REPLAY_LIMIT' } }];
  await client.sinks[1].error(limit);
  assert.deepEqual(got, ['C', limit]);
});

test('what the schema has no longer ends it with the reason, and is not tried again', async () => {
  for (const code of ['GRAPHQL_VALIDATION_FAILED', 'BAD_USER_INPUT']) {
    const { client, got } = start({ after: 'B' });
    const gone = [{ message: 'The schema has changed, and this subscription has ended.', extensions: { code } }];
    await client.sinks[0].error(gone);
    assert.deepEqual(got, [gone]);
    assert.equal(client.sinks.length, 1);
  }
});

test('who stops while it waits is not subscribed again', async () => {
  let go;
  const { client, got, stop } = start({}, { retryWait: () => new Promise((resolve) => (go = resolve)) });
  const done = client.sinks[0].error([{ extensions: { code: 'UNAVAILABLE' } }]);
  stop();
  go();
  await done;
  assert.equal(client.sinks.length, 1);
  assert.deepEqual(got, ['complete']);
});

test('operations without $after are passed on as they are, with every event', () => {
  const { client, got } = start({}, {}, 'subscription { newMessage(chatId: "1") { id } }');
  for (const id of ['B', 'B']) client.sinks[0].next(next(id));
  client.sinks[0].complete();
  assert.deepEqual(client.sent, [{}]);
  assert.deepEqual(got, ['B', 'B', 'complete']);
});

test('any subscription begins again on UNAVAILABLE, a query or mutation ends', async () => {
  const unavailable = [{ message: 'try again', extensions: { code: 'UNAVAILABLE' } }];
  for (const [document, begins] of [
    ['subscription { typing { who } }', 2], ['\n  subscription Typing{ typing { who } }', 2],
    ['{ subscription { id } }', 1], ['mutation { subscription { id } }', 1], ['query subscription { a }', 1],
    ['query ($after: ID) { a(after: $after) { id } }', 1],
    ['fragment F on M { id }\nsubscription ($after: ID) { a(after: $after) { ...F } }', 2],
  ]) {
    const { client, got } = start({}, undefined, document);
    await client.sinks[0].error(unavailable);
    assert.equal(client.sinks.length, begins, document);
    assert.deepEqual(got, begins === 1 ? [unavailable] : [], document);
  }
});

// Else every client of a throttled server comes again each second, for ever.
test('what comes on each attempt does not end the waiting', async (t) => {
  t.mock.timers.enable({ apis: ['Date'] });
  for (const document of [query, 'subscription { newMessage(chatId: "1") { id } }']) {
    const waited = [];
    const { client } = start({ after: 'A' }, { retryWait: async (attempts) => waited.push(attempts) }, document);
    const fails = async (id) => {
      client.sinks.at(-1).next(next(id));
      await client.sinks.at(-1).error([{ extensions: { code: 'UNAVAILABLE' } }]);
    };
    for (let i = 0; i < 3; i++) await fails('A');
    assert.deepEqual(waited, [0, 1, 2], document);
    t.mock.timers.tick(60_000);
    await fails('A');
    assert.equal(waited.at(-1), 0, 'it lasted');
    await fails('A');
    await fails('B');
    assert.equal(waited.at(-1), document === query ? 0 : 2, 'an event is progress');
  }
});

test('of a list only a new id is progress', async () => {
  const waited = [];
  const { client } = start({ after: 'A' }, { retryWait: async (attempts) => waited.push(attempts) });
  const events = (...ids) => ({ data: { newMessage: ids.map((id) => ({ id })) } });
  for (const result of [events('A'), events('A', undefined), events('A', 'B'), events('A', 'B')]) {
    client.sinks.at(-1).next(result);
    await client.sinks.at(-1).error([{ extensions: { code: 'UNAVAILABLE' } }]);
  }
  assert.deepEqual(waited, [0, 1, 0, 1]);
});

test('what was waiting when the client was disposed of is not sent again', async () => {
  let go;
  const { client, got, dispose } = start({}, { retryWait: () => new Promise((resolve) => (go = resolve)) });
  const done = client.sinks[0].error({ code: 4004, reason: 'Bad response' });
  dispose();
  go();
  await done;
  assert.equal(client.sinks.length, 1);
  assert.deepEqual(got, ['complete']);
});

// What graphql-ws gives up on without asking, as a close event. 1006 and others it has asked about.
for (const [code, reason, again] of [
  [1011, '', true], [4004, 'Bad response', true], [4005, 'no token', true], [4500, 'Internal server error', true],
  [4401, 'Token expired', true], [4429, 'Allowance spent', true],
  [4401, 'Unauthorized', false], [4429, 'Too many initialisation requests', false], [4400, 'no', false],
  [4403, 'Forbidden', false], [4406, 'Subprotocol not acceptable', false], [4409, 'Subscriber for 1 already exists', false],
  [1009, '', false], [1006, '', false],
]) {
  test(`close code ${code} ${reason}: ${again ? 'again' : 'the end'}`, async () => {
    for (const document of [query, '{ a }', 'mutation { a }']) {
      const { client, got } = start({}, undefined, document);
      const event = { code, reason };
      await client.sinks[0].error(event);
      assert.equal(client.sinks.length, again ? 2 : 1);
      assert.deepEqual(got, again ? [] : [event]);
    }
  });
}

test('the shouldRetry of the application decides', async () => {
  const { client, got } = start({}, { shouldRetry: () => false });
  const event = { code: 4401, reason: 'Token expired' };
  await client.sinks[0].error(event);
  assert.deepEqual(got, [event]);
});

const minute = 60_000;

// open is a socket of a fake client that has just been acknowledged, in mocked time.
// Only what a test emits happens to it.
function open(t, options = {}, client = fake()) {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: 1e12 });
  const listeners = {};
  client.on = (event, listener) => (listeners[event] ??= []).push(listener);
  const emit = (event, ...args) => listeners[event]?.forEach((listener) => listener(...args));
  client.terminate = () => {
    client.terminated++;
    emit('closed', { code: 4499 });
  };
  const said = []; // [minutes since the socket opened, what the client sent]
  const connect = () => {
    const opened = Date.now();
    const note = (what) => said.push([(Date.now() - opened) / minute, what]);
    emit('connected', { readyState: 1, send: (frame) => note(JSON.parse(frame).type), close: (code) => note(code) });
  };
  const wrapped = resuming(client, options);
  connect();
  const pass = (time, step = 15_000) => {
    for (; time > 0; time -= step) t.mock.timers.tick(Math.min(step, time));
  };
  return { client, wrapped, said, emit, connect, pass };
}

test('a heartbeat every 8:45 keeps the socket open, and is all that is sent', (t) => {
  const { client, said, pass } = open(t);
  pass(99 * minute);
  assert.deepEqual(said.map(([at]) => at), Array.from({ length: 11 }, (_, i) => 8.75 * (i + 1)));
  assert.ok(said.every(([, type]) => type === 'pong'));
  assert.equal(client.terminated, 0);
  const month = 30 * 24 * 60; // of minutes, at USD 0.25 a million; a message is USD 1 a million
  assert.ok((month * 0.25 + month / 8.75) / 1e6 <= 0.016, 'what an open socket may cost');
});

test('in a hidden page, whose timers run each minute, a heartbeat is in time', (t) => {
  const { said, pass } = open(t);
  pass(99 * minute, minute);
  const at = [0, ...said.map(([at]) => at)];
  assert.ok(at.length > 10 && at.every((to, i) => i === 0 || to - at[i - 1] <= 9.75), String(at));
});

test('a socket that does not answer a ping is given up', (t) => {
  const { client, emit, pass } = open(t);
  emit('ping', false); // by the application's keepAlive
  emit('message', { type: 'pong' });
  pass(minute);
  assert.equal(client.terminated, 0);
  emit('ping', true); // the server's ping, which proves nothing
  pass(minute);
  assert.equal(client.terminated, 0);
  emit('ping', false);
  pass(minute);
  assert.equal(client.terminated, 1);
  pass(30 * minute);
  assert.equal(client.terminated, 1, 'nobody watches a socket that has ended');
});

test('a ping before the acknowledgement is answered by it', (t) => {
  const { client, emit, connect, pass } = open(t);
  emit('closed', { code: 1006 });
  emit('ping', false);
  emit('message', { type: 'connection_ack' });
  connect();
  pass(minute);
  assert.equal(client.terminated, 0);
});

test('a machine that has slept asks whether the server is there', (t) => {
  const { client, said, emit, pass } = open(t);
  pass(5 * minute, minute); // a hidden page's time
  t.mock.timers.setTime(Date.now() + 3 * minute);
  assert.deepEqual(said, []);
  pass(15_000);
  assert.deepEqual(said, [[8.25, 'ping']]);
  emit('message', { type: 'pong' });
  pass(minute);
  assert.equal(client.terminated, 0);
});

// page makes this program look like one with a page.
function page(t, hidden = false) {
  const document = Object.assign(new EventTarget(), { hidden }), window = new EventTarget();
  Object.assign(globalThis, { document, addEventListener: window.addEventListener.bind(window) });
  t.after(() => {
    delete globalThis.document;
    delete globalThis.addEventListener;
  });
  return { document, window };
}

test('a page that wakes asks, and reconnects without an answer', (t) => {
  const { document, window } = page(t);
  const { client, wrapped, said, emit, connect, pass } = open(t);
  const pings = () => said.filter(([, type]) => type === 'ping').length;
  const wakes = [
    () => document.dispatchEvent(new Event('visibilitychange')), () => document.dispatchEvent(new Event('resume')),
    () => window.dispatchEvent(new Event('online')),
    () => window.dispatchEvent(Object.assign(new Event('pageshow'), { persisted: true })),
  ];
  for (const [i, wake] of wakes.entries()) {
    pass(2 * minute);
    wake();
    wake(); // one ping is enough
    assert.equal(pings(), i + 1);
    emit('message', { type: 'next' }); // any message proves it
    wake(); // it has just been heard
    assert.equal(pings(), i + 1);
  }
  pass(2 * minute);
  window.dispatchEvent(new Event('pageshow')); // the first time that the page is shown
  document.hidden = true;
  document.dispatchEvent(new Event('visibilitychange'));
  assert.equal(pings(), wakes.length);
  assert.equal(client.terminated, 0);
  wakes[0]();
  document.hidden = false;
  wakes[0]();
  pass(10_000);
  assert.equal(client.terminated, 1);
  wakes[0](); // while there is no socket
  connect();
  pass(2 * minute);
  wrapped.dispose();
  wakes[0]();
  assert.equal(pings(), wakes.length + 1);
});

test('a page that must know asks while it is visible and the server is silent', (t) => {
  const { document } = page(t);
  const { said, emit, pass } = open(t, { whileVisible: minute });
  for (let i = 0; i < 8; i++) {
    pass(minute / 2);
    emit('message', { type: 'next' });
  }
  assert.deepEqual(said, []);
  pass(minute);
  assert.deepEqual(said, [[5, 'ping']]);
  emit('message', { type: 'pong' });
  document.hidden = true;
  pass(8 * minute);
  assert.equal(said.length, 1);
});

for (const [document, asks] of [['{ a }', true], ['mutation { a }', true], ['subscription { a }', false], [query, false]]) {
  test(`${document}: no answer for 10 s ${asks ? 'is a doubt' : 'is usual'}`, (t) => {
    const { client, wrapped, said, emit, pass } = open(t);
    const ignore = { next() {}, error() {}, complete() {} };
    wrapped.subscribe({ query: document, variables: {} }, ignore);
    pass(9000);
    assert.deepEqual(said, []);
    pass(2000);
    assert.equal(said.length, asks ? 1 : 0);
    emit('message', { type: 'pong' });
    for (const end of ['next', 'complete', 'error']) {
      wrapped.subscribe({ query: document, variables: {} }, ignore);
      client.sinks.at(-1)[end]({ data: {} });
    }
    wrapped.subscribe({ query: document, variables: {} }, ignore)();
    pass(minute);
    assert.equal(said.length, asks ? 1 : 0);
    assert.equal(client.terminated, 0);
  });
}

test('each leaves its socket at a moment of its own, from 100 to 115 minutes', (t) => {
  const moments = [];
  for (const random of [0, 0.5, 0.999]) {
    t.mock.method(Math, 'random', () => random);
    const { said, pass } = open(t);
    pass(118 * minute);
    moments.push(...said.filter(([, what]) => what === 1000).map(([at]) => at));
    t.mock.timers.reset();
  }
  assert.deepEqual(moments, [100, 107.5, 115]);
});

test('a query or mutation that runs is awaited before its socket is left', (t) => {
  t.mock.method(Math, 'random', () => 0);
  const { client, wrapped, said, emit, pass } = open(t);
  wrapped.subscribe({ query: 'mutation { a }' }, { next() {}, error() {}, complete() {} });
  pass(15_000);
  emit('message', { type: 'pong' });
  pass(110 * minute);
  assert.ok(said.every(([, what]) => what !== 1000));
  client.sinks[0].next({ data: { a: 1 } });
  pass(15_000);
  assert.equal(said.at(-1)[1], 1000);
  assert.equal(client.terminated, 0);
  emit('message', { type: 'next' }); // the last of the old socket
  pass(10_000);
  assert.equal(client.terminated, 1, 'a close that is not answered is not awaited for long');
});

// graphql-ws with a server that gives its sockets half a second.
test('a socket is left for another without an error and without a wait', async (t) => {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  const asked = [], closed = [], connecting = [];
  server.on('connection', (socket) => {
    socket.on('close', (code) => closed.push(code));
    socket.on('message', (data) => {
      const { type, id, payload } = JSON.parse(data);
      if (type === 'connection_init') socket.send('{"type":"connection_ack"}');
      if (type !== 'subscribe') return;
      asked.push(payload.variables.after);
      socket.send(JSON.stringify({ id, type: 'next', payload: next(String.fromCharCode(65 + asked.length)) }));
    });
  });
  await new Promise((resolve) => server.on('listening', resolve));
  const client = resuming(createClient({
    ...settings,
    url: `ws://127.0.0.1:${server.address().port}`,
    webSocketImpl: WebSocket,
    lazyCloseTimeout: 0,
    retryWait: () => assert.fail('it waits'),
    on: { connecting: (isRetry) => connecting.push(isRetry) },
  }), { life: 500, idle: 400 });
  t.after(() => server.close());
  const got = [];
  await new Promise((resolve, reject) => {
    client.subscribe({ query, variables: { after: 'A' } },
      { next: (r) => got.push(r.data.newMessage.id) === 3 && resolve(), error: reject, complete: reject });
  });
  assert.deepEqual(got, ['B', 'C', 'D']);
  assert.deepEqual(asked, ['A', 'B', 'C']);
  assert.deepEqual(closed, [1000, 1000]);
  assert.deepEqual(connecting, [false, false, false]);
  await client.dispose();
});

// The server's decisions, in shared/transportws/close.go.
const reasons = {
  '4400 message cannot be read as JSON': false,
  '4401 Unauthorized': false,
  '4401 Token expired': true,
  '4401 Connection expired': true,
  '4401 Connection revoked': false,
  '4403 Forbidden': false,
  '4403 Too many connections': true,
  '4429 Allowance spent': true,
  '4408 Connection initialisation timeout': true,
  '4409 Subscriber for connection_error: 4500 already exists': false,
  '4429 Too many initialisation requests': false,
  '4429 Too many messages': false,
  '4500 Internal server error': true,
};
const frame = (reason) => JSON.stringify({ type: `connection_error: ${reason}`, payload: {} });

test('a refusal is told from a lost network', () => {
  for (const code of [1000, 1001, 1005, 1006, 1011, 1012, 4004, 4408, 4499, 4500, 4504]) assert.ok(!isRefusal({ code, reason: '' }));
  const failures = [undefined, null, 'text', new Error('Unexpected server response: 429'), { type: 'error' }];
  for (const error of failures) assert.ok(!isRefusal(error));
  for (const [reason, retried] of Object.entries(reasons)) {
    assert.equal(isRefusal({ code: Number(reason.slice(0, 4)), reason: reason.slice(5) }), !retried, reason);
  }
});

// A gateway that is overloaded, or does not reach the server: handshakes that fail, and frames of its own.
test('failing handshakes and frames of the gateway end nobody', async (t) => {
  const failures = [429, 500, 503, 'reset', 'silent', 'frame', 'frame late'];
  const server = new WebSocketServer({ noServer: true });
  const http = createServer().on('upgrade', (request, socket, head) => {
    const failure = failures.shift();
    if (failure === 'reset') return socket.destroy();
    if (typeof failure === 'number') return socket.end(`HTTP/1.1 ${failure} No\r\nContent-Length: 0\r\n\r\n`);
    server.handleUpgrade(request, socket, head, (ws) =>
      ws.on('message', (data) => {
        const { type, id } = JSON.parse(data);
        if (failure === 'silent') return;
        if (failure === 'frame' || (failure && type === 'subscribe')) {
          return ws.send('{"message":"Internal server error","connectionId":"c","requestId":"r"}');
        }
        if (type === 'connection_init') ws.send('{"type":"connection_ack"}');
        if (type === 'subscribe') ws.send(JSON.stringify({ id, type: 'next', payload: next('A') }));
      }));
  });
  await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve));
  const client = resuming(createClient({
    ...settings,
    url: `ws://127.0.0.1:${http.address().port}`,
    webSocketImpl: WebSocket,
    connectionAckWaitTimeout: 100,
    lazyCloseTimeout: 0,
    retryWait: () => new Promise((resolve) => setTimeout(resolve, 50)), // for the old socket's close event
  }));
  t.after(() => {
    for (const socket of server.clients) socket.terminate();
    http.close();
  });
  const outcome = await new Promise((resolve) => {
    client.subscribe({ query, variables: {} }, { next: resolve, error: resolve, complete: () => resolve('complete') });
  });
  assert.deepEqual(outcome, next('A'));
  assert.deepEqual(failures, []);
  await client.dispose();
});

// graphql-ws against a server that refuses its first connection, either the init
// or a later message, and closes with 1000, as API Gateway does.
for (const [reason, retried] of Object.entries(reasons)) {
  for (const late of [false, true]) {
    test(`${reason}, ${late ? 'after' : 'before'} the acknowledgement: ${retried ? 'again' : 'the end'}`, async (t) => {
      const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
      t.after(() => server.close());
      const tokens = [];
      server.on('connection', (socket) => {
        socket.on('message', (data) => {
          const message = JSON.parse(data);
          if (message.type === 'connection_init') tokens.push(message.payload.token);
          if (tokens.length === 1 && message.type === (late ? 'subscribe' : 'connection_init')) {
            socket.send(frame(reason));
            socket.close(1000);
          } else if (message.type === 'connection_init') {
            socket.send('{"type":"connection_ack"}');
          } else if (message.type === 'subscribe') {
            socket.send(JSON.stringify({ id: message.id, type: 'next', payload: next('A') }));
          }
        });
      });
      await new Promise((resolve) => server.on('listening', resolve));
      let token = 0;
      const client = createClient({
        ...settings,
        url: `ws://127.0.0.1:${server.address().port}`,
        webSocketImpl: WebSocket,
        connectionParams: () => ({ token: ++token }), // called each time: there may be a new token
        lazyCloseTimeout: 0,
      });
      const outcome = await new Promise((resolve) => {
        resuming(client).subscribe({ query, variables: {} }, { next: resolve, error: resolve, complete: () => resolve('complete') });
      });
      if (retried) {
        assert.deepEqual(outcome, next('A'));
        assert.deepEqual(tokens, [1, 2]);
      } else {
        assert.ok(outcome.message.includes(`connection_error: ${reason}`), String(outcome));
        assert.deepEqual(tokens, [1]);
      }
      await client.dispose();
    });
  }
}
