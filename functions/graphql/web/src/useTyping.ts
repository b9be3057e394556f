import { useApolloClient } from '@apollo/client/react';
import { useEffect, useMemo, useRef, useState } from 'react';
import { ITypeNow, SomebodyTypes } from './apollo.ts';
import { isPassing } from './errors.ts';
import { idOfTab } from './identity.ts';
import { newest, type Message } from './messages.ts';
import { spaced } from './spaced.ts';
import { typed, without, type Typists } from './typing.ts';
import { useLive } from './useLive.ts';

const sentEvery = 3000; // ms, at most

/** The others who are typing, and what to call when the user types and when a message is sent. */
export function useTyping(chatId: string, name: string, isOn: boolean, messages: readonly Message[]) {
  const client = useApolloClient();
  const [typists, setTypists] = useState<Typists>(new Map());
  const mine = useRef(new Set([idOfTab()])); // as whom the server announces this tab

  useLive(SomebodyTypes, { chatId }, isOn, ({ typing }) => {
    if (!mine.current.has(typing.who)) setTypists((all) => typed(all, typing.who, typing.name, Date.now()));
  });
  // Who has written is not typing any more.
  const last = newest(messages), before = useRef(last);
  useEffect(() => {
    const names = messages.filter((m) => m.id > before.current).map((m) => m.senderName);
    before.current = last;
    if (names.length > 0) setTypists((all) => without(all, Date.now(), names));
  }, [last]);
  useEffect(() => {
    if (typists.size === 0) return;
    const next = Math.min(...[...typists.values()].map((t) => t.until));
    const timer = setTimeout(() => setTypists((all) => without(all, Date.now())), next - Date.now());
    return () => clearTimeout(timer);
  }, [typists]);

  const sender = useMemo(() => {
    let isRefused = false;
    return spaced(sentEvery, () => {
      if (isRefused) return;
      client.mutate({ mutation: ITypeNow, variables: { chatId, name, as: idOfTab() }, fetchPolicy: 'no-cache' }).then(
        ({ data }) => data && mine.current.add(data.typing.who),
        (e: unknown) => (isRefused = !isPassing(e)),
      );
    });
  }, [client, chatId, name]);
  useEffect(() => sender.drop, [sender]);

  return {
    names: [...typists].filter(([who]) => !mine.current.has(who)).map(([, t]) => t.name),
    typed: () => isOn && sender.call(undefined),
    sent: sender.drop,
  };
}
