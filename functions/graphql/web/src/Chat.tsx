import { useState, type FormEvent, type KeyboardEvent } from 'react';
import { Log } from './Log.tsx';
import { Logo } from './Entrance.tsx';
import type { Identity } from './identity.ts';
import type { Observed, Status } from './socket.ts';
import { StatusBadge } from './StatusBadge.tsx';
import { ThemeButton } from './ThemeButton.tsx';
import { useChat } from './useChat.ts';
import { useUnread } from './useUnread.ts';

interface Props {
  chatId: string;
  user: Identity;
  status: Observed<Status>;
  onLeave: () => void;
}

export function Chat({ chatId, user, status, onLeave }: Props) {
  const chat = useChat(chatId, user);
  const mark = useUnread(chat.messages, chat.isOwn, `${chatId} · Subwire`);
  const refusal = status.get().state === 'refused' ? status.get() as { reason: string } : undefined;
  return (
    <main className="chat">
      <header>
        <button type="button" className="icon" onClick={onLeave} aria-label="Leave the chat" title="Leave the chat">
          <svg viewBox="0 0 24 24" aria-hidden="true"><path d="m14.5 5-7 7 7 7" /></svg>
        </button>
        <Logo />
        <h1>{chatId}</h1>
        <StatusBadge status={status} hasFailed={chat.failure !== ''} />
        <ThemeButton />
      </header>
      {chat.failure && (
        <div role="alert" className="alert">
          <p>{refusal ? <>The server refused the connection: <strong>{refusal.reason}</strong></> : chat.failure}</p>
          <button type="button" onClick={chat.tryAgain}>Try again</button>
        </div>
      )}
      <Log chat={chat} mark={mark} />
      <Composer name={user.name} onSend={chat.send} />
    </main>
  );
}

function Composer({ name, onSend }: { name: string; onSend: (content: string) => void }) {
  const [text, setText] = useState('');
  const send = (e: FormEvent | KeyboardEvent) => {
    e.preventDefault();
    if (!text.trim()) return;
    onSend(text.trim());
    setText('');
  };
  const sendOnEnter = (e: KeyboardEvent) => {
    if (e.key === 'Enter' && !e.shiftKey && !e.nativeEvent.isComposing) send(e);
  };
  return (
    <form className="composer" onSubmit={send}>
      <label htmlFor="message" className="unseen">Message</label>
      <textarea id="message" rows={1} value={text} maxLength={2000} autoFocus autoComplete="off" placeholder={`Write as ${name}`}
        onChange={(e) => setText(e.target.value)} onKeyDown={sendOnEnter} />
      <button type="submit" className="icon primary" aria-label="Send" title="Send" disabled={!text.trim()}>
        <svg viewBox="0 0 24 24" aria-hidden="true"><path d="M5 12h13m-5.5-6 6 6-6 6" /></svg>
      </button>
    </form>
  );
}
