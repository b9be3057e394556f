// A server of the console's page and a State of one's own, for what a local cloud reaches
// rarely: long retries, thousands of targets, hostile text, a deployment that allows nothing.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('../internal/console/page/', import.meta.url));
const types = { html: 'text/html', css: 'text/css', js: 'text/javascript', svg: 'image/svg+xml' };
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'";

/** Returns the running server: its origin, what it answers (change it), and the actions that came. */
export async function startFake(port = 0) {
  const fake = {
    answers: sample(),
    actions: [],
    asked: 0, // how often for the state
    stop: () => new Promise((r) => (server.closeAllConnections(), server.close(r))),
  };
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url, 'http://fake').pathname);
    const json = (status, body) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    if (path.startsWith('/console/api/')) {
      const name = path.slice('/console/api/'.length);
      if (name === 'state') fake.asked++;
      if (request.method === 'POST') {
        let body = '';
        for await (const part of request) body += part;
        fake.actions.push({ name, body: JSON.parse(body), header: request.headers['subwire-console'] });
        return json(200, {});
      }
      const answer = fake.answers[name];
      return answer ? json(200, answer) : json(404, { error: 'This is not known any more.' });
    }
    const file = /^\/console\/?$/.test(path) ? 'console.html' : path.replace('/console/', '');
    const text = await readFile(folder + file).catch(() => null);
    response
      .writeHead(text ? 200 : 404, { 'content-type': types[file.split('.').pop()], 'content-security-policy': policy })
      .end(text);
  });
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  fake.page = `http://127.0.0.1:${server.address().port}`;
  return fake;
}

const shared = 'subscription NewMessage($chatId: ID!) {\n  newMessage(chatId: $chatId) { id content senderName }\n}';
const next = (newMessage) => JSON.stringify({ id: '1', type: 'next', payload: { data: { newMessage } } });

const at = (ms) => new Date(Date.UTC(2026, 10, 28, 12, 4, 0) + ms).toISOString();
const id = (i) => `01M85WT1K9QXZ7TT${String(i).padStart(6, '0')}ZR${i % 10}`;

/** Answers for a busy afternoon, by the path of the API. */
export function sample({ events = 40, targets = 102 } = {}) {
  const list = Array.from({ length: events }, (_, i) => {
    const lobby = i % 4 !== 2,
      count = lobby ? targets : i % 8 ? 3 : 0,
      retries = i % 7 === 0 ? 1 : 0,
      gone = i % 9 === 4 ? 4 : 0;
    const parked = i % 13 === 5 ? 2 : 0;
    return {
      id: id(events - i),
      topic: `newMessage/${lobby ? 'lobby' : count ? 'team-standup' : 'news'}`,
      at: at(7113 - i * 235),
      targets: count,
      delivered: Math.max(0, count - retries - gone - parked),
      retries,
      gone: count ? gone : 0,
      parked: count ? parked : 0,
      last: count ? (parked ? 8200 : 26 + ((i * 7) % 13)) : 9,
      done: i > 0 || !retries,
    };
  });
  const first = list[0];
  const span = (name, kind, depth, begin, took, detail = '', more = {}) => ({
    name,
    kind,
    depth,
    begin,
    took,
    detail,
    failed: false,
    cold: false,
    ...more,
  });
  const trace = {
    ...first,
    trace: '1-6568e0c1-5f84ab1e2d3c4b5a69788766',
    spans: [
      span('mutation · graphql', 'function', 0, 0, 5.1),
      span('PutItem messages', 'call', 1, 1.2, 2.6),
      span('waits in the stream', 'wait', 0, 3.8, 11.2),
      span('stream · plan', 'function', 0, 15, 4.4),
      span('Query subscriptions', 'call', 1, 15.4, 2.3, '102 rows'),
      span('SendMessageBatch', 'call', 1, 17.6, 1.8, '4 groups'),
      span('waits in fanout.fifo', 'wait', 0, 19.4, 3),
      span('sender · group 0', 'function', 0, 22.4, 6.9, '26 targets'),
      span('sender · group 1', 'function', 0, 22.4, 6.2, '24 targets', { cold: true }),
      span('sender · group 2', 'function', 0, 22.8, 10.6, '29 targets'),
      span('sender · group 3', 'function', 0, 22.6, 5.8, '23 targets'),
      span('waits in retries', 'wait', 0, 33.4, 2004),
      span('sender · retry', 'function', 0, 2037.4, 6.1, '1 target'),
    ],
    posts: Array.from({ length: first.targets }, (_, i) => ({
      connection: `L${(i * 7919 + 46656).toString(36)}F3KabcdCIAg=`,
      operation: String(1 + (i % 2)),
      status: i === 78 ? 429 : i % 40 === 33 ? 410 : 200,
      at: 24 + (i % 10),
      attempt: i === 12 ? 1 : 0,
    })),
    executions: [
      {
        document: shared,
        targets: 100,
        viewer: false,
        frame: next({ id: '01M85WT1K9QXZ7TTZR6', content: 'hello 1', senderName: 'ada' }),
      },
      {
        document: 'subscription { newMessage(chatId: "lobby") { mine content } }',
        targets: 2,
        viewer: true,
        frame: next({ mine: true, content: 'hello 1' }),
      },
    ],
    usd: 0.000104,
    request: {
      document: 'mutation ($chatId: ID!, $text: String!) {\n  postMessage(chatId: $chatId, content: $text) { id }\n}',
      variables: '{"chatId":"lobby","content":"hello 1"}',
      curl: "curl http://127.0.0.1:4000/graphql -d '{}'",
      graphiql: '/graphql#query=mutation',
    },
  };
  const connections = Array.from({ length: 104 }, (_, i) => ({
    id: trace.posts[i]?.connection ?? `LG9Q${i}zz=`,
    viewer: i % 5 ? `viewer-${i}` : 'ada',
    client: i % 3 ? 'subwire console' : 'Mozilla/5.0 Chrome/141 apollo-web',
    since: at(-60_000 * (1 + (i % 9))),
    operations: 1 + (i % 2),
    in: 3 + (i % 4),
    out: 12 + i,
    closed: i === 7 ? '1001 going away' : '',
  }));
  const node = (name, kind, to, more) => ({
    name,
    kind,
    to,
    rate: 0,
    out: 0,
    p50: 0,
    warm: 0,
    busy: 0,
    depth: 0,
    inFlight: 0,
    lag: 0,
    refused: 0,
    gone: 0,
    failed: 0,
    ...more,
  });
  const log = {
    ...connections[0],
    frames: [
      ['{"type":"connection_init","payload":{"authorization":"…"}}', true, 41, 0],
      ['{"type":"connection_ack"}', false, 25, 8],
      [
        JSON.stringify({ id: '1', type: 'subscribe', payload: { query: shared, variables: { chatId: 'lobby' } } }),
        true,
        312,
        0,
      ],
      [next({ id: '01M85WT1', content: 'hello 1', senderName: 'ada' }), false, 118, 34],
      ['{"type":"ping"}', true, 15, 0],
      ['{"type":"pong"}', false, 15, 6],
    ].map(([text, inward, bytes, took], i) => ({
      at: at(-8000 + i * 1931),
      in: inward,
      text,
      bytes,
      took,
      status: !inward ? 200 : 0,
    })),
  };
  const fault = (name, what, chance, on = false, met = 0) => ({ name, what, chance, on, met });
  const state = {
    app: 'chat',
    where: 'local',
    began: at(-600_000),
    at: at(7500),
    can: {
      post: true,
      subscribe: true,
      cut: true,
      revoke: true,
      kill: true,
      break: true,
      frames: true,
      redrive: true,
    },
    latency: { p50: 28.4, p99: 41.2 },
    owed: 12_408,
    delivered: 12_371,
    ended: 34,
    lost: 2,
    dead: 2,
    usd: 0.0147,
    perMillion: 1.18,
    bill: [
      { service: 'API Gateway', what: 'messages', units: 12_408, usd: 0.0124 },
      { service: 'Lambda', what: 'GB-seconds', units: 61.2, usd: 0.00101 },
      { service: 'Lambda', what: 'requests', units: 480, usd: 0.0000961 },
      { service: 'SQS', what: 'requests', units: 1750, usd: 0.0007 },
      { service: 'DynamoDB', what: 'write units', units: 302, usd: 0.000189 },
      { service: 'DynamoDB', what: 'read units', units: 2500, usd: 0.000313 },
    ],
    nodes: [
      node('clients', 'clients', []),
      node('gateway', 'gateway', ['clients', 'connect', 'disconnect', 'graphql', 'message'], {
        rate: 9,
        out: 612,
        refused: 31,
        gone: 4,
      }),
      node('connect', 'function', ['connection-checks'], { rate: 2, warm: 1, p50: 4.1 }),
      node('disconnect', 'function', ['gateway', 'connection-checks'], { warm: 1, p50: 5 }),
      node('graphql', 'function', ['connection-checks', 'messages', 'reads'], { rate: 6, warm: 2, p50: 5.1 }),
      node('message', 'function', ['gateway', 'connection-checks', 'messages', 'reads', 'subscriptions'], {
        rate: 7,
        warm: 3,
        p50: 6,
      }),
      node('stream', 'function', ['fanout.fifo', 'stream-dead', 'connection-checks'], { rate: 6, warm: 1, p50: 4.4 }),
      node('sender', 'function', ['gateway', 'retries', 'retries-dead'], { rate: 24, warm: 4, busy: 4, p50: 6.2 }),
      node('messages', 'table', ['stream'], { rate: 6, lag: 11 }),
      node('reads', 'table', ['stream']),
      node('subscriptions', 'table', ['stream']),
      node('fanout-dead.fifo', 'queue', []),
      node('fanout.fifo', 'queue', ['sender', 'fanout-dead.fifo'], { rate: 24, inFlight: 3 }),
      node('retries', 'queue', ['sender', 'retries-dead'], { rate: 0.4, depth: 2 }),
      node('retries-dead', 'queue', [], { depth: 2 }),
      node('connection-checks', 'queue', ['disconnect'], { depth: 104 }),
      node('stream-dead', 'queue', []),
    ],
    events: list,
    connections,
    open: 103,
    topics: [
      ['newMessage/lobby', 31, 102],
      ['newMessage/team-standup', 6, 3],
      ['newMessage/news', 3, 0],
    ].map(([name, n, subscribers], i) => ({ name, events: n, subscribers, last: at(7113 - i * 400) })),
    functions: [
      ['sender', 4, 4, 4, 480, 0, 6.2, 10.6],
      ['stream', 1, 0, 1, 120, 0, 4.4, 9],
      ['graphql', 2, 0, 2, 130, 0, 5.1, 8.8],
      ['message', 3, 0, 3, 340, 1, 6, 14.1],
      ['connect', 1, 0, 1, 104, 0, 4.1, 9.9],
      ['disconnect', 1, 0, 1, 14, 0, 5, 7.2],
    ].map(([name, warm, busy, cold, invocations, errors, p50, p99]) => ({
      name,
      warm,
      busy,
      cold,
      invocations,
      errors,
      p50,
      p99,
    })),
    queues: [
      ['fanout.fifo', '', 0, 3],
      ['fanout-dead.fifo', 'fanout.fifo', 0, 0],
      ['retries', '', 2, 0],
      ['retries-dead', 'retries', 2, 0],
      ['stream-dead', 'stream', 0, 0],
      ['connection-checks', '', 104, 0],
    ].map(([name, from, depth, inFlight]) => ({ name, from, depth, inFlight })),
    faults: [
      fault('gateway:down', 'the network of every socket is away; each is cut', 0),
      fault('post:429', 'a post to a client is answered 429', 0.05, true, 31),
      fault('post:500', 'a post to a client is answered 500', 0.01),
      fault('disconnect:drop', 'a $disconnect event is lost', 0.2),
      fault('dynamodb:throttle', 'a request to DynamoDB is throttled, or done and answered 500', 0.02),
      fault('lambda.sender:kill', 'the process of sender dies during an invocation', 0.01),
      fault('post:timeout', 'Posts without an answer', 0.01),
      fault('sqs.send:500', 'SQS fails', 0.02),
      fault('stream:duplicate', 'Records come twice', 0.05),
      fault('delete:429', 'Closing a socket is refused', 0.05),
      fault('lambda.message:kill', 'Kill message', 0.01),
      fault('post:408idle', 'An idle call is answered 408', 0.01),
    ],
    seed: 7,
    down: false,
    subscribers: 100,
    histogram: [
      [5, 0],
      [10, 14],
      [15, 96],
      [20, 300],
      [25, 252],
      [30, 160],
      [35, 88],
      [40, 40],
      [50, 31],
      [75, 8],
      [100, 0],
      [250, 0],
      [412, 11],
    ].map(([upTo, count]) => ({ upTo, count })),
    alarms: [],
    notes: [],
  };
  return {
    state,
    [`events/${first.id}`]: trace,
    [`connections/${log.id}`]: log,
    [`connections/${connections[1].id}`]: { ...log, ...connections[1] },
    'dead/fanout-dead.fifo': { letters: [] },
    'dead/retries-dead': {
      letters: [
        { id: 'm1', event: id(35), topic: 'newMessage/lobby', targets: 2, reason: 'busy', tries: 8, at: at(-40_000) },
        {
          id: 'm2',
          event: id(22),
          topic: 'newMessage/lobby',
          targets: 1,
          reason: 'timeout',
          tries: 8,
          at: at(-90_000),
        },
      ],
    },
  };
}
