// Listens to a chat with the npm client graphql-ws and its default settings:
//   node graphql-ws.mjs WS_URL CHAT_ID [INIT_PAYLOAD_JSON]
// Prints one JSON line for each event: {"next": ...}, {"error": ...},
// {"complete": true}, and {"connects": n} at the end. When standard input ends,
// it completes the subscription and exits.
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

const [url, chatId, init] = process.argv.slice(2);
const print = (line) => console.log(JSON.stringify(line));

let connects = 0;
const client = createClient({
  url,
  webSocketImpl: WebSocket,
  connectionParams: init && JSON.parse(init),
  on: { connecting: () => connects++ },
});

const describe = (e) =>
  Array.isArray(e) ? { errors: e } : { code: e.code, reason: e.reason, message: e.message };

const unsubscribe = client.subscribe(
  {
    query: 'subscription NewMessage($chatId: ID!) { newMessage(chatId: $chatId) { id content createdAt senderName } }',
    operationName: 'NewMessage',
    variables: { chatId },
  },
  {
    next: (result) => print({ next: result }),
    error: (e) => print({ error: describe(e) }),
    complete: () => print({ complete: true }),
  },
);

process.stdin.resume();
process.stdin.on('end', async () => {
  unsubscribe();
  await client.dispose();
  print({ connects });
});
