// graphql-ws with the settings that fit API Gateway, resuming after each loss of
// its connection:
//   node resume-graphql-ws.mjs HTTP_URL WS_URL CHAT_ID
// Prints {"next": message} for each message; ends with its standard input.
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { resuming, settings } from '../../shared/js/resume.mjs';

const [, wsUrl, chatId] = process.argv.slice(2);
const print = (line) => console.log(JSON.stringify(line));

const client = resuming(createClient({ ...settings, url: wsUrl, webSocketImpl: WebSocket }));

const unsubscribe = client.subscribe(
  {
    query: `subscription NewMessage($chatId: ID!, $after: ID) {
      newMessage(chatId: $chatId, after: $after) { id content senderName }
    }`,
    variables: { chatId, after: '0'.repeat(26) }, // or the newest id of the history
  },
  {
    next: ({ data, errors }) => print(errors ? { error: errors } : { next: data.newMessage }),
    error: (e) => print({ error: e }),
    complete: () => print({ complete: true }),
  },
);

process.stdin.resume();
process.stdin.on('end', async () => {
  unsubscribe();
  await client.dispose();
});
