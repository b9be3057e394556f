// A typed client of the chat.
import { createClient } from 'graphql-ws';
import { graphql } from './gql';
import { subscribe } from './subscribe';

const newMessage = graphql(`
  subscription NewMessage($chatId: ID!, $after: ID) {
    newMessage(chatId: $chatId, after: $after) { id content senderName mine }
  }
`);

const client = createClient({ url: 'ws://127.0.0.1:4001/local' });

subscribe(client, newMessage, { chatId: 'lobby', after: '0'.repeat(26) }, ({ newMessage: message }) => {
  const mine: boolean = message.mine;
  console.log(message.id, message.content, mine);
});
