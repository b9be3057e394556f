import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql, type Reference, type TypedDocumentNode } from '@apollo/client';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { getMainDefinition } from '@apollo/client/utilities';
import type { Client } from 'graphql-ws';
import { merge, type Message } from './messages.ts';
import { authorization } from './socket.ts';

const fields = gql`
  fragment Fields on Message {
    id
    content
    createdAt
    senderName
    mine
  }
`;

export const pageSize = 50;

export const History: TypedDocumentNode<{ getNewMessages: Message[] }, { chatId: string; before?: string; limit?: number }> = gql`
  query History($chatId: ID!, $before: ID, $limit: Int) {
    getNewMessages(chatId: $chatId, before: $before, limit: $limit) {
      ...Fields
    }
  }
  ${fields}
`;

export const PostMessage: TypedDocumentNode<{ postMessage: Message }, { chatId: string; content: string; senderName: string }> = gql`
  mutation PostMessage($chatId: ID!, $content: String!, $senderName: String!) {
    postMessage(chatId: $chatId, content: $content, senderName: $senderName) {
      ...Fields
    }
  }
  ${fields}
`;

export const NewMessage: TypedDocumentNode<{ newMessage: Message }, { chatId: string; after: string }> = gql`
  subscription NewMessage($chatId: ID!, $after: ID) {
    newMessage(chatId: $chatId, after: $after) {
      ...Fields
    }
  }
  ${fields}
`;

/** Apollo Client over a split link: the socket for subscriptions, HTTP for the rest. */
export function createApollo(socket: Client, token: string): ApolloClient {
  const isSubscription = ({ query }: ApolloLink.Operation) => {
    const definition = getMainDefinition(query);
    return definition.kind === 'OperationDefinition' && definition.operation === 'subscription';
  };
  return new ApolloClient({
    link: ApolloLink.split(isSubscription, new GraphQLWsLink(socket), new HttpLink({ uri: '/graphql', headers: authorization(token) })),
    cache: new InMemoryCache({
      typePolicies: {
        Query: {
          fields: {
            // All pages and live messages of a chat form one list.
            getNewMessages: {
              keyArgs: ['chatId'],
              merge: (existing: readonly Reference[] = [], incoming: readonly Reference[], { readField }) =>
                merge(existing, incoming, (ref) => readField<string>('id', ref) ?? ''),
            },
          },
        },
      },
    }),
  });
}
