import { useApolloClient, useQuery } from '@apollo/client/react';
import { CombinedGraphQLErrors } from '@apollo/client/errors';
import { useCallback, useEffect, useReducer, useRef, useState } from 'react';
import { History, NewMessage, PostMessage, pageSize } from './apollo.ts';
import { keepOwn, ownIds, type Identity } from './identity.ts';
import { newest, sort, type Draft, type Message } from './messages.ts';

/** The id before all others: where to resume in a chat without a message. */
const earliest = '0'.repeat(26);

type Change = { add: Draft } | { key: number; set: Partial<Draft> } | { discard: number };

function change(drafts: Draft[], c: Change): Draft[] {
  if ('add' in c) return [...drafts, c.add];
  if ('discard' in c) return drafts.filter((d) => d.key !== c.discard);
  return drafts.map((d) => (d.key === c.key ? { ...d, ...c.set } : d));
}

const explain = (e: unknown) => (e instanceof Error ? e.message : String(e));

const isTooMuchMissed = (e: unknown) =>
  CombinedGraphQLErrors.is(e) && e.errors.some((error) => error.extensions?.code === 'REPLAY_LIMIT');

/** One chat as one user sees it. For another chat, remount the component that uses it. */
export function useChat(chatId: string, { name, token }: Identity) {
  const client = useApolloClient();
  const [drafts, dispatch] = useReducer(change, []);
  const [attempt, setAttempt] = useState(0);
  const [failure, setFailure] = useState('');
  // The id from which everything is loaded, "" for all. A live message from before
  // it (a replay overlaps, a dead letter is redriven) would hide a gap.
  const [oldest, setOldest] = useState('');
  const query = useQuery(History, { variables: { chatId, limit: pageSize } });
  const messages = query.data?.getNewMessages ?? none;
  const latest = useRef({ messages, oldest });
  latest.current = { messages, oldest };

  const add = useCallback(
    (m: Message) => m.id >= latest.current.oldest && client.writeQuery({ query: History, variables: { chatId }, data: { getNewMessages: [m] } }),
    [client, chatId],
  );

  // Begins after the newest message of the history, so that none is missed in between.
  const isRead = query.data !== undefined;
  useEffect(() => {
    if (!isRead) return;
    const { messages } = latest.current;
    setFailure('');
    setOldest(messages.length >= pageSize ? messages[0]!.id : '');
    const fail = (e: unknown) => {
      if (!isTooMuchMissed(e)) return setFailure(explain(e));
      client.cache.evict({ id: 'ROOT_QUERY', fieldName: 'getNewMessages', args: { chatId } });
      void query.refetch().then(() => setAttempt((n) => n + 1));
    };
    const subscription = client
      .subscribe({ query: NewMessage, variables: { chatId, after: newest(messages) || earliest }, fetchPolicy: 'no-cache' })
      .subscribe({ next: ({ data, error }) => (error ? fail(error) : data && add(data.newMessage)), error: fail });
    return () => subscription.unsubscribe();
  }, [client, chatId, isRead, attempt]);

  // One after the other, so that they arrive in the order written.
  const queue = useRef(Promise.resolve());
  const post = (draft: Draft) => {
    dispatch({ key: draft.key, set: { failure: undefined } });
    queue.current = queue.current.then(async () => {
      try {
        const { data } = await client.mutate({
          mutation: PostMessage, variables: { chatId, content: draft.content, senderName: name }, fetchPolicy: 'no-cache' });
        if (!data) throw new Error('The server gave no answer');
        add(data.postMessage);
        dispatch({ key: draft.key, set: { id: data.postMessage.id } });
      } catch (e) {
        dispatch({ key: draft.key, set: { failure: explain(e) } });
      }
    });
  };
  const send = (content: string) => {
    const draft = { key: Date.now() + Math.random(), content, createdAt: new Date().toISOString(), after: newest(messages) };
    dispatch({ add: draft });
    post(draft);
  };
  const loadEarlier = async () => {
    const { data } = await query.fetchMore({ variables: { before: oldest, limit: pageSize } });
    const page = data?.getNewMessages ?? [];
    setOldest(page.length >= pageSize ? page[0]!.id : '');
  };

  const isMine = (m: Message) => (token ? m.mine : m.senderName === name); // among messages with a draft's text
  const { outstanding, own } = sort(drafts, messages, isMine);
  const [written] = useState(ownIds);
  useEffect(() => keepOwn(own), [own.size]);

  return {
    messages,
    drafts: outstanding,
    isOwn: (m: Message) => (token ? m.mine : own.has(m.id) || written.has(m.id)),
    isLoading: !isRead && !query.error,
    failure: query.error ? explain(query.error) : failure,
    hasEarlier: oldest !== '',
    tryAgain: () => (query.error ? void query.refetch() : setAttempt((n) => n + 1)),
    send,
    retry: post,
    discard: (draft: Draft) => dispatch({ discard: draft.key }),
    loadEarlier,
  };
}

const none: readonly Message[] = [];
