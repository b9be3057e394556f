import { useEffect, useState } from 'react';
import { Chat } from './Chat.tsx';
import { Entrance } from './Entrance.tsx';
import type { Observed, Status } from './socket.ts';

const nameKey = 'subwire.name';

/** The chat that the URL names: /c/CHAT. */
function chatOfURL(): string {
  const match = /^\/c\/(.+)$/.exec(location.pathname);
  try {
    return decodeURIComponent(match?.[1] ?? '');
  } catch {
    return match?.[1] ?? ''; // no encoding: as it stands
  }
}

export function App({ status }: { status: Observed<Status> }) {
  const [chatId, setChatId] = useState(chatOfURL);
  const [name, setName] = useState(() => localStorage.getItem(nameKey) ?? '');
  useEffect(() => {
    const follow = () => setChatId(chatOfURL());
    addEventListener('popstate', follow);
    return () => removeEventListener('popstate', follow);
  }, []);

  const go = (path: string) => {
    history.pushState(null, '', path);
    setChatId(chatOfURL());
  };
  if (!chatId || !name) {
    return (
      <Entrance
        chatId={chatId}
        name={name}
        onEnter={(chosenChat, chosenName) => {
          localStorage.setItem(nameKey, chosenName);
          setName(chosenName);
          go(`/c/${encodeURIComponent(chosenChat)}`);
        }}
      />
    );
  }
  return <Chat key={chatId} chatId={chatId} name={name} status={status} onLeave={() => go('/')} />;
}
