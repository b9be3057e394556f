import { useState, type FormEvent, type KeyboardEvent } from 'react';
import { Announcer } from './Announcer.tsx';
import { Log } from './Log.tsx';
import { Logo } from './Entrance.tsx';
import { addressFor, type Identity } from './identity.ts';
import type { Observed } from './observed.ts';
import type { Draft, Outbox } from './outbox.ts';
import type { Status } from './socket.ts';
import { StatusBadge } from './StatusBadge.tsx';
import { ThemeButton } from './ThemeButton.tsx';
import { session } from './storage.ts';
import { sentence } from './typing.ts';
import { useChat } from './useChat.ts';
import { useHere } from './useLive.ts';
import { useReading } from './useReading.ts';
import { useTyping } from './useTyping.ts';
import { useUnread } from './useUnread.ts';

interface Props {
  chatId: string;
  user: Identity;
  status: Observed<Status>;
  outbox: Outbox;
  onLeave: () => void;
}

export function Chat({ chatId, user, status, outbox, onLeave }: Props) {
  const chat = useChat(chatId, user, outbox);
  const isOn = chat.isRead && !chat.failure;
  const here = useHere(chatId, isOn);
  const typing = useTyping(chatId, user.name, isOn, chat.messages);
  const reading = useReading(chatId, user, isOn);
  const unread = useUnread(chat.messages, chat.isOwn, `${chatId} · Subwire`, reading.before);
  const [text, setText] = useText(chatId);
  const [sent, setSent] = useState(0); // how many in this tab
  const [problem, setProblem] = useState('');
  const refusal = status.get().state === 'refused' ? status.get() as { reason: string } : undefined;
  const send = () => {
    const problem = chat.send(text.trim());
    setProblem(problem);
    if (problem) return;
    setText('');
    setSent(sent + 1);
    typing.sent();
  };
  const write = (text: string) => {
    setText(text);
    setProblem('');
  };
  const edit = (draft: Draft) => {
    chat.discard(draft);
    write(text ? `${text}\n${draft.content}` : draft.content);
  };
  const openSecond = () => void open(addressFor(chatId, user), '_blank', 'noopener,popup,width=480,height=760');
  return (
    <main className="chat">
      <header>
        <button type="button" className="icon" onClick={onLeave} aria-label="Leave the chat" title="Leave the chat">
          <svg viewBox="0 0 24 24" aria-hidden="true"><path d="m14.5 5-7 7 7 7" /></svg>
        </button>
        <Logo />
        <div className="title">
          <h1 dir="auto">{chatId}</h1>
          {here && <p className="here">{`${here.count}${here.more ? '+' : ''} here`}</p>}
        </div>
        <StatusBadge status={status} hasFailed={chat.failure !== ''} />
        <button type="button" className="icon" onClick={openSecond} aria-label={second} title={second}>
          <svg viewBox="0 0 24 24" aria-hidden="true"><circle cx="9" cy="8" r="3.5" /><path d="M2.5 20a6.5 6.5 0 0 1 13 0M19 8v6m-3-3h6" /></svg>
        </button>
        <ThemeButton />
      </header>
      {chat.failure && (
        <div role="alert" className="alert">
          <p>{refusal ? <>The server refused the connection: <strong>{refusal.reason}</strong></> : chat.failure}</p>
          <button type="button" onClick={chat.tryAgain}>Try again</button>
        </div>
      )}
      {problem && <p role="alert" className="alert">{problem}</p>}
      <Log chat={chat} sent={sent} unread={unread} reading={reading} onEdit={edit}
        invitation={<button type="button" className="pill" onClick={openSecond}>{second}</button>} />
      <Announcer messages={chat.messages} isRead={chat.isRead} isOwn={chat.isOwn} />
      <p className="typing">{sentence(typing.names)}</p>
      <Composer name={user.name} text={text} setText={write} onType={typing.typed} onSend={send} />
    </main>
  );
}

const second = 'Open a second person’s window';

/** What is being written. The tab keeps it until it is sent. */
function useText(chatId: string): [string, (text: string) => void] {
  const key = `subwire.text/${encodeURIComponent(chatId)}`;
  const [text, setText] = useState(() => session.get(key) ?? '');
  const set = (text: string) => {
    setText(text);
    if (text) session.set(key, text);
    else session.remove(key);
  };
  return [text, set];
}

interface ComposerProps {
  name: string;
  text: string;
  setText: (text: string) => void;
  onType: () => void;
  onSend: () => void;
}

function Composer({ name, text, setText, onType, onSend }: ComposerProps) {
  const send = (e: FormEvent | KeyboardEvent) => {
    e.preventDefault();
    if (text.trim()) onSend();
  };
  const change = (text: string) => {
    setText(text);
    if (text.trim()) onType();
  };
  const sendOnEnter = (e: KeyboardEvent) => {
    if (e.key === 'Enter' && !e.shiftKey && !e.nativeEvent.isComposing) send(e);
  };
  return (
    <form className="composer" onSubmit={send}>
      <label htmlFor="message" className="unseen">Message</label>
      <textarea id="message" rows={1} value={text} dir="auto" autoFocus autoComplete="off" placeholder={`Write as ${name}`}
        onChange={(e) => change(e.target.value)} onKeyDown={sendOnEnter} />
      <button type="submit" className="icon primary" aria-label="Send" title="Send" disabled={!text.trim()}>
        <svg viewBox="0 0 24 24" aria-hidden="true"><path d="M5 12h13m-5.5-6 6 6-6 6" /></svg>
      </button>
    </form>
  );
}
