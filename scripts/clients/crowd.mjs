// Clients that do what a page does, against a gateway that refuses posts:
//   node crowd.mjs HTTP_URL WS_URL CHAT_ID CLIENTS
// Each subscribes, asks over the socket, writes and reloads, three times. The program
// prints each operation that ended for good, each load, each client that has all, and
// then what came of all.
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { backOff, resuming, settings } from '../../shared/js/resume.mjs';

const [, , httpUrl, wsUrl, chatId, clients] = process.argv;
const loads = 3;
const sent = new Set();
let ended = 0;

// untilAnswered asks until there is an answer.
async function untilAnswered(ask) {
  for (let attempts = 0; ; attempts++) {
    try {
      return await ask();
    } catch {
      await backOff(attempts);
    }
  }
}

async function post(content) {
  const body = JSON.stringify({
    query: `mutation ($chatId: ID!, $content: String!, $key: ID!) {
      postMessage(chatId: $chatId, content: $content, senderName: "Crowd", key: $key) { id }
    }`,
    variables: { chatId, content, key: crypto.randomUUID() },
  });
  return untilAnswered(async () => {
    const answer = await fetch(httpUrl, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body });
    return (await answer.json()).data.postMessage.id;
  });
}

async function run(number) {
  const received = new Set();
  let newest = '0'.repeat(26), last = () => {};
  for (let load = 1; load <= loads; load++) {
    const client = resuming(createClient({ ...settings, url: wsUrl, webSocketImpl: WebSocket }));
    const subscribe = (query, variables, next = () => {}) =>
      client.subscribe({ query, variables: { chatId, ...variables } }, {
        next,
        error(e) {
          ended++;
          console.log(JSON.stringify({ client: number, query, error: e.message ?? e }));
        },
        complete() {},
      });
    const messages = 'subscription ($chatId: ID!, $after: ID) { newMessage(chatId: $chatId, after: $after) { id } }';
    const stops = [
      subscribe(messages, { after: newest }, ({ data }) => {
        received.add(data.newMessage.id);
        if (data.newMessage.id > newest) newest = data.newMessage.id;
      }),
      subscribe(messages, { after: newest }),
      subscribe(messages, { after: newest }),
      subscribe('subscription ($chatId: ID!, $as: ID) { here(chatId: $chatId, as: $as) { count } }', { as: `${number}` }),
      subscribe('subscription ($chatId: ID!) { typing(chatId: $chatId) { who } }'),
    ];
    await untilAnswered(() => new Promise((complete, error) => {
      const query = 'query ($chatId: ID!) { getNewMessages(chatId: $chatId, limit: 1) { id } }';
      client.subscribe({ query, variables: { chatId } }, { next() {}, error, complete });
    }));
    if (number % 10 === load) sent.add(await post(`${number}`));
    last = () => Promise.all([...stops.map((stop) => stop()), client.dispose()]);
    console.log(JSON.stringify({ client: number, load }));
    if (load < loads) await last();
  }
  return { received, last };
}

const done = await Promise.all(Array.from({ length: Number(clients) }, (_, number) => run(number)));
const hasAll = ({ received }) => [...sent].every((id) => received.has(id));
for (const client of done) {
  while (!hasAll(client)) await new Promise((resolve) => setTimeout(resolve, 100));
  console.log('{"done":1}');
}
console.log(JSON.stringify({ ended, sent: sent.size }));
process.exit(0);
