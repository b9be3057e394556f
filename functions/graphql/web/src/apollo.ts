import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql, type Reference, type TypedDocumentNode } from '@apollo/client';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { getMainDefinition } from '@apollo/client/utilities';
import type { Client } from 'graphql-ws';
import { explain, isAnswer, isPassing } from './errors.ts';
import { keepOwn } from './identity.ts';
import { merge, type Message } from './messages.ts';
import { Refusal, type Post } from './outbox.ts';
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

export const PostMessage: TypedDocumentNode<{ postMessage: Message }, { chatId: string; content: string; senderName: string; key: string }> = gql`
  mutation PostMessage($chatId: ID!, $content: String!, $senderName: String!, $key: ID!) {
    postMessage(chatId: $chatId, content: $content, senderName: $senderName, key: $key) {
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

/** How many are in a chat: count, or more than that. */
export interface Presence {
  count: number;
  more: boolean;
}

export const Here: TypedDocumentNode<{ here: Presence }, { chatId: string; as: string }> = gql`
  subscription Here($chatId: ID!, $as: ID) {
    here(chatId: $chatId, as: $as) {
      count
      more
    }
  }
`;

/** Somebody is typing. */
export interface Typing {
  who: string;
  name: string;
}

export const SomebodyTypes: TypedDocumentNode<{ typing: Typing }, { chatId: string }> = gql`
  subscription SomebodyTypes($chatId: ID!) {
    typing(chatId: $chatId) {
      who
      name
    }
  }
`;

export const ITypeNow: TypedDocumentNode<{ typing: { who: string } }, { chatId: string; name: string; as: string }> = gql`
  mutation ITypeNow($chatId: ID!, $name: String, $as: ID) {
    typing(chatId: $chatId, name: $name, as: $as) {
      who
    }
  }
`;

/** Somebody has read a message and those before it. */
export interface ReadMark {
  reader: string;
  name: string;
  messageId: string;
}

const markFields = gql`
  fragment MarkFields on ReadMark {
    reader
    name
    messageId
  }
`;

export const ReadMarks: TypedDocumentNode<{ readMarks: ReadMark[] }, { chatId: string }> = gql`
  query ReadMarks($chatId: ID!) {
    readMarks(chatId: $chatId) {
      ...MarkFields
    }
  }
  ${markFields}
`;

export const SomebodyReads: TypedDocumentNode<{ readMarks: ReadMark }, { chatId: string }> = gql`
  subscription SomebodyReads($chatId: ID!) {
    readMarks(chatId: $chatId) {
      ...MarkFields
    }
  }
  ${markFields}
`;

export const MarkRead: TypedDocumentNode<{ markRead: ReadMark }, { chatId: string; messageId: string; name: string; as: string }> = gql`
  mutation MarkRead($chatId: ID!, $messageId: ID!, $name: String, $as: ID) {
    markRead(chatId: $chatId, messageId: $messageId, name: $name, as: $as) {
      ...MarkFields
    }
  }
  ${markFields}
`;

const longestAnswer = 30_000; // ms; API Gateway waits no longer for the server

/** Sends drafts, and shows their messages in the chats that are loaded. */
export const poster = (client: ApolloClient, senderName: string): Post => async ({ chatId, content, key }) => {
  try {
    const { data } = await client.mutate({
      mutation: PostMessage, variables: { chatId, content, senderName, key }, fetchPolicy: 'no-cache',
      context: { fetchOptions: { signal: AbortSignal.timeout(longestAnswer) } } });
    const message = data!.postMessage;
    keepOwn([message.id]);
    client.cache.updateQuery({ query: History, variables: { chatId } }, (known) => {
      const first = known?.getNewMessages[0];
      return known && (!first || message.id > first.id) ? { getNewMessages: [message] } : undefined;
    });
  } catch (e) {
    if (!isPassing(e)) throw new Refusal(explain(e));
    throw new Error(isAnswer(e) ? 'Waiting for the server…' : 'Waiting for the network…');
  }
};

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
