import { useApolloClient } from '@apollo/client/react';
import { useEffect, useMemo, useRef, useState } from 'react';
import { MarkRead, ReadMarks, SomebodyReads, type ReadMark } from './apollo.ts';
import { isPassing } from './errors.ts';
import { idOfPerson, personOf, viewerOf, type Identity } from './identity.ts';
import { advance, readersOf, type Marks } from './reading.ts';
import { spaced } from './spaced.ts';
import { local } from './storage.ts';
import { useLive } from './useLive.ts';

const sentEvery = 3000; // ms, at most

/** How far everybody has read. */
export function useReading(chatId: string, user: Identity, isOn: boolean) {
  const client = useApolloClient();
  const as = idOfPerson(user), key = `subwire.read/${encodeURIComponent(personOf(user))}/${encodeURIComponent(chatId)}`;
  const [marks, setMarks] = useState<Marks>(new Map());
  const me = useRef(new Set([as, viewerOf(user)])); // as whom the server announces the user
  const [before, setBefore] = useState<string>(); // how far the user had read on coming
  const read = useRef('');

  useLive(SomebodyReads, { chatId }, isOn, (data) => setMarks((all) => advance(all, [data.readMarks])));
  useEffect(() => {
    if (!isOn) return;
    const none: readonly ReadMark[] = [];
    client.query({ query: ReadMarks, variables: { chatId }, fetchPolicy: 'no-cache' })
      .then(({ data }) => data?.readMarks ?? none, () => none) // a chat can do without
      .then((all) => {
        setMarks((marks) => advance(marks, all));
        const mine = all.filter((m) => me.current.has(m.reader)).map((m) => m.messageId);
        read.current = [read.current, local.get(key) ?? '', ...mine].sort().at(-1)!;
        setBefore((known) => known ?? read.current);
      });
  }, [client, chatId, isOn]);

  const sender = useMemo(() => {
    let isRefused = false;
    return spaced(sentEvery, (messageId: string) => {
      if (isRefused) return;
      client.mutate({ mutation: MarkRead, variables: { chatId, messageId, name: user.name, as }, fetchPolicy: 'no-cache' }).then(
        ({ data }) => {
          if (!data) return;
          me.current.add(data.markRead.reader);
          setMarks((all) => advance(all, [data.markRead]));
        },
        (e: unknown) => (isRefused = !isPassing(e)),
      );
    });
  }, [client, chatId, user.name, as]);

  return {
    before: before ?? '',
    readersOf: (id: string) => readersOf(marks, id, (reader) => me.current.has(reader)),
    /** The user has seen this message, and so those before it. */
    saw(id: string) {
      if (before === undefined || id <= read.current) return;
      read.current = id;
      local.set(key, id);
      sender.call(id);
    },
  };
}
