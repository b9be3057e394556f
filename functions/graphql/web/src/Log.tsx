import { memo, useEffect, useLayoutEffect, useRef, useState, type ReactNode } from 'react';
import { pieces } from './markup.ts';
import { newest, type Message } from './messages.ts';
import { initialOf, isolated } from './names.ts';
import type { Draft } from './outbox.ts';
import type { useChat } from './useChat.ts';
import type { useReading } from './useReading.ts';
import type { Unread } from './useUnread.ts';

interface Props {
  chat: ReturnType<typeof useChat>;
  sent: number; // how many messages were sent from here: each is to be seen
  unread: Unread;
  reading: ReturnType<typeof useReading>;
  onEdit: (draft: Draft) => void;
  invitation: ReactNode; // what an empty chat offers
}

/** The messages, oldest first. It stays at the end while the user is there. */
export function Log({ chat, sent, unread, reading, onEdit, invitation }: Props) {
  const { messages, drafts } = chat;
  const { box, isAtEnd, follow, toEnd } = useScroll(sent);
  const below = useBelow(chat, isAtEnd);
  const look = useSight(box, reading.saw);
  const { read, readers } = lastRead(chat, reading);
  return (
    <div className="frame">
      <div className="log" role="region" aria-label="Messages" tabIndex={0} ref={box} onScroll={() => { follow(); look(); }}>
        {chat.hasEarlier && <EarlierButton load={chat.loadEarlier} onGone={() => box.current?.focus({ preventScroll: true })} />}
        {chat.isLoading && <p className="note">Loading…</p>}
        {!chat.isLoading && messages.length + drafts.length === 0 && (
          <div className="note">
            <p>Nothing here yet. Say hello.</p>
            {invitation}
          </div>
        )}
        <ol>
          {messages.map((m, i) => (
            <Bubble key={m.id} message={m} before={messages[i - 1]}
              isOwn={chat.isOwn(m)} wasOwn={i > 0 && chat.isOwn(messages[i - 1]!)}
              unread={unread.count > 0 && m.id > unread.after && (messages[i - 1]?.id ?? '') <= unread.after ? unread.count : 0}
              readers={m.id === read ? readers : none} />
          ))}
        </ol>
        {drafts.length > 0 && (
          <ol aria-label="Not sent yet">
            {drafts.map((d) => (
              <DraftBubble key={d.key} draft={d} wait={chat.wait} onEdit={() => onEdit(d)} onDiscard={() => chat.discard(d)} />
            ))}
          </ol>
        )}
      </div>
      {!isAtEnd && <button type="button" className="pill to-end" onClick={toEnd}>{below > 0 ? `${below} new` : 'Newest messages'} ↓</button>}
    </div>
  );
}

const none: readonly string[] = [];

/** The user's last message that others have read, and who. */
function lastRead(chat: Props['chat'], reading: Props['reading']): { read?: string; readers: readonly string[] } {
  const { messages } = chat;
  for (let i = messages.length - 1; i >= 0; i--) {
    if (!chat.isOwn(messages[i]!)) continue;
    const readers = reading.readersOf(messages[i]!.id);
    if (readers.length > 0) return { read: messages[i]!.id, readers };
  }
  return { readers: none };
}

/** Tells of the last message of others that is on the screen. What is returned looks again. */
function useSight(box: { current: HTMLElement | null }, saw: (id: string) => void) {
  const look = () => {
    if (document.hidden || !box.current) return;
    const end = box.current.getBoundingClientRect().bottom;
    const others = [...box.current.querySelectorAll<HTMLElement>('[data-id]')];
    const last = others.findLast((e) => e.getBoundingClientRect().top < end);
    if (last) saw(last.dataset['id']!);
  };
  const latest = useRef(look);
  latest.current = look;
  useEffect(look);
  useEffect(() => {
    const again = () => latest.current();
    document.addEventListener('visibilitychange', again);
    return () => document.removeEventListener('visibilitychange', again);
  }, []);
  return look;
}

const nearEnd = 40; // px from the end that count as the end

/** How far below the log's top a message's text stands, whatever is scrolled or moving. */
function topOf(text: Element): number {
  const message = text.closest<HTMLElement>('.message')!;
  return message.offsetTop + text.getBoundingClientRect().top - message.getBoundingClientRect().top;
}

/** Keeps the end in view, or else the user's place when something appears above it. After a message is sent, goes to the end. */
function useScroll(sent: number) {
  const box = useRef<HTMLDivElement>(null);
  const [isAtEnd, setAtEnd] = useState(true);
  const before = useRef({ first: undefined as Element | undefined, top: 0, height: 0, view: 0, sent });
  const keep = () => {
    const e = box.current!, b = before.current;
    const moved = b.first?.isConnected ? topOf(b.first) - b.top : 0;
    // By position, not by isAtEnd: the scroll event may still be pending.
    if (e.scrollTop + b.view > b.height - nearEnd || b.sent !== sent) e.scrollTop = e.scrollHeight;
    else if (Math.abs(moved) >= 1) e.scrollTop += moved; // even to add 0 would end a smooth scroll
    const first = e.querySelector('.bubble p') ?? undefined;
    before.current = { first, top: first ? topOf(first) : 0, height: e.scrollHeight, view: e.clientHeight, sent };
  };
  useLayoutEffect(keep);
  const latest = useRef(keep);
  latest.current = keep;
  useEffect(() => {
    const observer = new ResizeObserver(() => latest.current()); // a keyboard appears, a phone is turned
    observer.observe(box.current!);
    return () => observer.disconnect();
  }, []);
  return {
    box,
    isAtEnd,
    follow: () => {
      const e = box.current!;
      setAtEnd(e.scrollHeight - e.scrollTop - e.clientHeight < nearEnd);
    },
    toEnd: () => box.current!.scrollTo({ top: box.current!.scrollHeight, behavior: 'smooth' }),
  };
}

/** How many messages of others have come below since the user left the end. */
function useBelow({ messages, isOwn }: Props['chat'], isAtEnd: boolean): number {
  const seen = useRef('');
  useEffect(() => {
    if (isAtEnd) seen.current = newest(messages);
  });
  return isAtEnd ? 0 : messages.filter((m) => m.id > seen.current && !isOwn(m)).length;
}

interface EarlierProps {
  load: () => Promise<void>;
  onGone: () => void; // it had the focus when the last of them came
}

function EarlierButton({ load, onGone }: EarlierProps) {
  const [state, setState] = useState<'idle' | 'busy' | 'failed'>('idle');
  const button = useRef<HTMLButtonElement>(null);
  useLayoutEffect(() => {
    const e = button.current;
    return () => void (document.activeElement === e && onGone());
  }, []);
  const click = () => {
    if (state === 'busy') return;
    setState('busy');
    load().then(() => setState('idle'), () => setState('failed'));
  };
  return (
    <button type="button" className="pill earlier" ref={button} onClick={click} aria-disabled={state === 'busy'}>
      {{ idle: 'Earlier messages', busy: 'Loading…', failed: 'That failed. Try again' }[state]}
    </button>
  );
}

const time = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const day = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });

/** A hue for a name, always the same. */
const hue = (name: string) => [...name].reduce((sum, c) => (sum * 31 + c.codePointAt(0)!) % 360, 7);

interface BubbleProps {
  message: Message;
  before: Message | undefined;
  isOwn: boolean;
  wasOwn: boolean; // whether the one before is the user's own
  unread: number; // how many are new from this one on; 0 unless it is the first of them
  readers: readonly string[]; // who has read it, if the user is to see it here
}

function Bubble({ message, before, isOwn, wasOwn, unread, readers }: BubbleProps) {
  const at = new Date(message.createdAt);
  const isNewDay = !before || day.format(new Date(before.createdAt)) !== day.format(at);
  const goesOn = !isNewDay && unread === 0 && before?.senderName === message.senderName && wasOwn === isOwn
    && at.getTime() - new Date(before.createdAt).getTime() < 300_000;
  const names = readers.map(isolated).join(', ');
  return (
    <>
      {isNewDay && <li className="divider"><span>{day.format(at)}</span></li>}
      {unread > 0 && <li className="divider unread"><span>{unread} new</span></li>}
      <li data-id={isOwn ? undefined : message.id} className={`message${isOwn ? ' own' : ''}${goesOn ? ' goes-on' : ''}`} style={{ '--hue': hue(message.senderName) } as object}>
        {!goesOn && !isOwn && <span className="avatar" aria-hidden="true">{initialOf(message.senderName)}</span>}
        <div className="bubble" dir="auto">
          <span className={goesOn || isOwn ? 'unseen' : 'sender'} dir="auto">{isOwn ? 'You' : message.senderName}</span>
          <Content text={message.content} />
          <time dateTime={message.createdAt}>{time.format(at)}</time>
        </div>
        {readers.length > 0 && (
          <p className="read" title={names}>Read by {readers.length}<span className="unseen">: {names}</span></p>
        )}
      </li>
    </>
  );
}

/** A message's text, with its links and code. */
const Content = memo(({ text }: { text: string }) => (
  <p>
    {pieces(text).map(({ kind, text }, i) => {
      if (kind === 'text') return text;
      if (kind === 'link') return <a key={i} href={text} target="_blank" rel="noopener noreferrer nofollow">{text}</a>;
      return <code key={i} dir="ltr" className={kind}>{text}</code>;
    })}
  </p>
));

interface DraftProps {
  draft: Draft;
  wait: string; // what pending drafts wait for
  onEdit: () => void;
  onDiscard: () => void;
}

function DraftBubble({ draft, wait, onEdit, onDiscard }: DraftProps) {
  return (
    <li className={`message own draft${draft.failure ? ' failed' : ''}`}>
      <div className="bubble" dir="auto">
        <span className="unseen" dir="auto">You</span>
        <Content text={draft.content} />
        <time dateTime={draft.createdAt}>{draft.failure ? 'Not sent' : wait || 'Sending…'}</time>
      </div>
      {draft.failure && (
        <p className="failure">
          <span role="alert">{draft.failure}</span> <button type="button" onClick={onEdit}>Edit</button> <button type="button" onClick={onDiscard}>Discard</button>
        </p>
      )}
    </li>
  );
}
