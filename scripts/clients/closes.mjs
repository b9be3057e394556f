// Breaks the rules of the protocol with the npm client graphql-ws, once against Subwire and
// once against the server of the same package, and prints what the client saw of both:
//   node closes.mjs WS_URL HURRIED_WS_URL SECURED_WS_URL
// HURRIED_WS_URL does not wait long for an init, SECURED_WS_URL wants tokens. Prints one
// JSON line: {RULE: {"subwire": S, "reference": R}}, where S and R are
// {"closes": ["CODE REASON", ...], "error": ..., "connects": n}.
import { createServer } from 'node:http';
import graphql from 'graphql';
import { createClient } from 'graphql-ws';
import { useServer } from 'graphql-ws/use/ws';
import WebSocket, { WebSocketServer } from 'ws';

const [url, hurriedUrl, securedUrl] = process.argv.slice(2);

/** The reference: whoever sends a token is refused. A subscription lasts. */
async function reference() {
  const schema = new graphql.GraphQLSchema({
    query: new graphql.GraphQLObjectType({ name: 'Query', fields: { ok: { type: graphql.GraphQLBoolean, resolve: () => true } } }),
    subscription: new graphql.GraphQLObjectType({
      name: 'Subscription',
      fields: {
        newMessage: {
          type: graphql.GraphQLString,
          args: { chatId: { type: new graphql.GraphQLNonNull(graphql.GraphQLID) } },
          subscribe: async function* () {
            await new Promise(() => {});
          },
        },
      },
    }),
  });
  const http = createServer();
  useServer(
    { schema, connectionInitWaitTimeout: 1000, onConnect: ({ connectionParams }) => !connectionParams?.Authorization },
    new WebSocketServer({ server: http, path: '/graphql' }),
  );
  await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve));
  return `ws://127.0.0.1:${http.address().port}/graphql`;
}

const is = (type) => (frame) => JSON.parse(frame).type === type;
const [isInit, isSubscribe] = ['connection_init', 'subscribe'].map(is);
const onSubscribe = (change) => ({ send: (f) => (isSubscribe(f) ? change(f) : [f]) });

// Each rule has a function from the client's frame to the frames that are sent in its place.
const rules = {
  'not JSON': onSubscribe((f) => [f.slice(1)]),
  'no object': onSubscribe(() => ['[]']),
  'no type': onSubscribe(() => ['{}']),
  'unknown type': onSubscribe((f) => [f.replace('subscribe', 'start')]),
  'no id': onSubscribe((f) => [JSON.stringify({ ...JSON.parse(f), id: undefined })]),
  'empty id': onSubscribe((f) => [JSON.stringify({ ...JSON.parse(f), id: '' })]),
  'no query': onSubscribe((f) => [JSON.stringify({ ...JSON.parse(f), payload: {} })]),
  'malformed init': { send: (f) => [isInit(f) ? '{"type":"connection_init","payload":"text"}' : f] },
  'subscribe before ack': { send: (f) => [isInit(f) ? '{"id":"1","type":"subscribe","payload":{"query":"{ __typename }"}}' : f] },
  'bad token': { secured: true, connectionParams: { Authorization: 'Bearer guess' } },
  'late init': { hurried: true, send: (f) => (isInit(f) ? [] : [f]) },
  'duplicate id': onSubscribe((f) => [f, f]),
  'second init': { send: (f) => (isInit(f) ? [f, f] : [f]) },
  'init later': onSubscribe((f) => [f, '{"type":"connection_init"}']),
  'complete of nobody': { ...onSubscribe((f) => ['{"id":"nobody","type":"complete"}', f]), query: '{ __typename }' },
  'unasked pong': { ...onSubscribe((f) => ['{"type":"pong"}', f]), query: '{ __typename }' },
  'invalid document': { query: '{ nope }' },
  'leaves': { query: '{ __typename }' },
};

const socketOf = ({ send = (f) => [f] }) =>
  class extends WebSocket {
    send(frame) {
      for (const f of send(frame)) super.send(f);
    }
  };

const patience = 60_000; // ms, for a busy machine

async function run(rule, at) {
  const seen = { closes: [], connects: 0 };
  const client = createClient({
    url: at,
    webSocketImpl: socketOf(rule),
    connectionParams: rule.connectionParams,
    generateID: () => 'one',
    retryAttempts: 1,
    retryWait: () => new Promise((resolve) => setTimeout(resolve, 100)),
    on: { connecting: () => seen.connects++, closed: ({ code, reason }) => seen.closes.push(`${code} ${reason}`) },
  });
  const query = rule.query ?? 'subscription { newMessage(chatId: "closes") }';
  await new Promise((resolve) => {
    const timer = setTimeout(() => resolve((seen.error = 'nothing happens')), patience);
    const end = (error) => {
      clearTimeout(timer);
      resolve((seen.error = error));
    };
    client.subscribe(
      { query: at === theirs ? query : query.replace('") }', '") { id } }') },
      {
        next: () => {},
        error: (e) => end(Array.isArray(e) ? 'GraphQL errors' : e.code ? `${e.code} ${e.reason}` : e.message),
        complete: () => end('none'),
      },
    );
  });
  await Promise.resolve(client.dispose()).catch(() => {}); // one that never connected says so again
  while (seen.closes.length < seen.connects) await new Promise((resolve) => setTimeout(resolve, 10));
  return seen;
}

const theirs = await reference();
const results = await Promise.all(
  Object.entries(rules).map(async ([name, rule]) => {
    const ours = rule.hurried ? hurriedUrl : rule.secured ? securedUrl : url;
    const [subwire, reference] = await Promise.all([run(rule, ours), run(rule, theirs)]);
    return [name, { subwire, reference }];
  }),
);
console.log(JSON.stringify(Object.fromEntries(results)));
process.exit();
