import { ApolloProvider } from '@apollo/client/react';
import { useEffect, useMemo, useState } from 'react';
import { createApollo, poster } from './apollo.ts';
import { Chat } from './Chat.tsx';
import type { Config } from './config.ts';
import { Entrance } from './Entrance.tsx';
import { keepOwn, personOf, remember, remembered, takeName, type Identity } from './identity.ts';
import { Outbox, type Lock } from './outbox.ts';
import { waitTime } from '../../../../shared/js/resume.mjs';
import { authorization, openSocket } from './socket.ts';
import { local } from './storage.ts';

/** The chat that the URL names: /c/CHAT. */
function chatOfURL(): string {
  const text = /^\/c\/(.+)$/.exec(location.pathname)?.[1] ?? '';
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // not encoded: taken literally
  }
}

/** Lets one tab of this browser run at a time, where tabs can know of each other. */
const lockOf = (name: string): Lock => async (run) => {
  let hasBegun = false;
  try {
    if (!navigator.locks) throw new Error('there are none'); // the page came without HTTPS
    await navigator.locks.request(name, () => {
      hasBegun = true;
      return run();
    });
  } catch (e) {
    if (hasBegun) throw e;
    await run();
  }
};

export function App({ config }: { config: Config }) {
  const needsToken = config.auth === 'jwt';
  const [chatId, setChatId] = useState(chatOfURL);
  const [user, setUser] = useState(() => {
    takeName(location.hash);
    history.replaceState(null, '', location.pathname);
    return remembered(needsToken);
  });
  useEffect(() => {
    const follow = () => setChatId(chatOfURL());
    addEventListener('popstate', follow);
    return () => removeEventListener('popstate', follow);
  }, []);
  const { apollo, status } = useMemo(() => {
    const { client, status } = openSocket(config.webSocketUrl, authorization(user.token));
    return { apollo: createApollo(client, user.token), status };
  }, [config, user.token]);

  const outbox = useMemo(() => {
    const person = personOf(user);
    return new Outbox({ person, storage: local, post: poster(apollo, user.name), lock: lockOf(`subwire.outbox/${person}`), waitTime });
  }, [apollo, user.name]);
  useEffect(() => {
    if (!user.name) return;
    const follow = () => {
      outbox.refresh();
      keepOwn();
    };
    const wake = () => outbox.wake(), look = () => document.hidden || outbox.wake();
    outbox.start();
    addEventListener('storage', follow); // another tab has written
    addEventListener('online', wake);
    document.addEventListener('visibilitychange', look);
    return () => {
      outbox.stop();
      removeEventListener('storage', follow);
      removeEventListener('online', wake);
      document.removeEventListener('visibilitychange', look);
    };
  }, [outbox, user.name]);

  const go = (path: string) => {
    history.pushState(null, '', path);
    setChatId(chatOfURL());
  };
  const enter = (chosenChat: string, chosenUser: Identity) => {
    remember(chosenUser);
    setUser(chosenUser);
    go(`/c/${encodeURIComponent(chosenChat)}`);
  };
  if (!chatId || !user.name) return <Entrance chatId={chatId} user={user} needsToken={needsToken} onEnter={enter} />;
  return (
    <ApolloProvider client={apollo}>
      <Chat key={chatId} chatId={chatId} user={user} status={status} outbox={outbox} onLeave={() => go('/')} />
    </ApolloProvider>
  );
}
