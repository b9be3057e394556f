// Listens to a chat with resume.mjs, against a server with these limits in milliseconds:
//   node moving.mjs HTTP_URL WS_URL CHAT_ID IDLE LIFE
// Prints {"next": message} for each message, {"closed": code} for each socket, and
// {"retry": true} if it has to wait; ends with its standard input.
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { resuming, settings } from '../../shared/js/resume.mjs';

const [, wsUrl, chatId, idle, life] = process.argv.slice(2);
const print = (line) => console.log(JSON.stringify(line));

const client = resuming(
  createClient({
    ...settings,
    url: wsUrl,
    webSocketImpl: WebSocket,
    on: {
      connecting: (retry) => retry && print({ retry }),
      closed: ({ code }) => print({ closed: code }),
    },
  }),
  { idle: Number(idle), life: Number(life) },
);

const unsubscribe = client.subscribe(
  {
    query: 'subscription ($chatId: ID!, $after: ID) { newMessage(chatId: $chatId, after: $after) { id content } }',
    variables: { chatId, after: '0'.repeat(26) },
  },
  {
    next: ({ data, errors }) => print(errors ? { error: errors } : { next: data.newMessage }),
    error: (e) => print({ error: String(e?.message ?? e) }),
    complete: () => print({ complete: true }),
  },
);

process.stdin.resume();
process.stdin.on('end', async () => {
  unsubscribe();
  await client.dispose();
});
