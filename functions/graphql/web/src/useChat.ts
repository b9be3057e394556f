import { useApolloClient, useQuery } from '@apollo/client/react';
import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from 'react';
import { History, NewMessage, pageSize } from './apollo.ts';
import { explain, hasCode } from './errors.ts';
import { own, type Identity } from './identity.ts';
import { isOwn, newest, shown, type Message } from './messages.ts';
import type { Outbox } from './outbox.ts';

/** The id before all others: where to resume in a chat without a message. */
const earliest = '0'.repeat(26);

/** One chat as one user sees it. For another chat, remount the component that uses it. */
export function useChat(chatId: string, user: Identity, outbox: Outbox) {
  const client = useApolloClient();
  const { drafts: all, wait } = useSyncExternalStore(outbox.contents.listen, outbox.contents.get);
  const written = useSyncExternalStore(own.listen, own.get);
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
      if (!hasCode(e, 'REPLAY_LIMIT')) return setFailure(explain(e));
      client.cache.evict({ id: 'ROOT_QUERY', fieldName: 'getNewMessages', args: { chatId } });
      void query.refetch().then(() => setAttempt((n) => n + 1));
    };
    const subscription = client
      .subscribe({ query: NewMessage, variables: { chatId, after: newest(messages) || earliest }, fetchPolicy: 'no-cache' })
      .subscribe({ next: ({ data, error }) => (error ? fail(error) : data && add(data.newMessage)), error: fail });
    return () => subscription.unsubscribe();
  }, [client, chatId, isRead, attempt]);

  const loadEarlier = async () => {
    const { data } = await query.fetchMore({ variables: { before: oldest, limit: pageSize } });
    const page = data?.getNewMessages ?? [];
    setOldest(page.length >= pageSize ? page[0]!.id : '');
  };

  const drafts = all.filter((d) => d.chatId === chatId);
  return {
    messages: shown(messages, drafts, user, written),
    drafts,
    wait,
    isOwn: (m: Message) => isOwn(m, user, written),
    isRead,
    isLoading: !isRead && !query.error,
    failure: query.error ? explain(query.error) : failure,
    hasEarlier: oldest !== '',
    tryAgain: () => (query.error ? void query.refetch() : setAttempt((n) => n + 1)),
    send: (content: string) => outbox.add(chatId, content, newest(messages)),
    discard: outbox.discard.bind(outbox),
    loadEarlier,
  };
}

const none: readonly Message[] = [];
