import { useLayoutEffect, useRef, useState } from 'react';
import type { Draft, Message } from './messages.ts';
import type { useChat } from './useChat.ts';

interface Props {
  chat: ReturnType<typeof useChat>;
  mark: string; // the last id that was read, "" if all were
}

/** The messages, oldest first. It stays at the end while the user is there. */
export function Log({ chat, mark }: Props) {
  const { messages, drafts } = chat;
  const { box, isAtEnd, follow, toEnd } = useScroll(messages[0]?.id ?? '');
  return (
    <div className="frame">
      <div className="log" role="log" aria-label="Messages" aria-busy={chat.isLoading} tabIndex={0} ref={box} onScroll={follow}>
        {chat.hasEarlier && <EarlierButton load={chat.loadEarlier} />}
        {chat.isLoading && <p className="note">Loading…</p>}
        {!chat.isLoading && messages.length + drafts.length === 0 && <p className="note">Nothing here yet. Say hello.</p>}
        <ol>
          {messages.map((m, i) => (
            <Bubble key={m.id} message={m} before={messages[i - 1]}
              isOwn={chat.isOwn(m)} wasOwn={i > 0 && chat.isOwn(messages[i - 1]!)}
              isFirstUnread={mark !== '' && m.id > mark && (messages[i - 1]?.id ?? '') <= mark} />
          ))}
          {drafts.map((d) => <DraftBubble key={d.key} draft={d} onRetry={() => chat.retry(d)} onDiscard={() => chat.discard(d)} />)}
        </ol>
      </div>
      {!isAtEnd && <button type="button" className="to-end" onClick={toEnd}>Newest messages ↓</button>}
    </div>
  );
}

const nearEnd = 40; // px from the end that count as the end

/** Keeps the end in view, or else the user's place when earlier messages appear above it. */
function useScroll(first: string) {
  const box = useRef<HTMLDivElement>(null);
  const [isAtEnd, setAtEnd] = useState(true);
  const before = useRef({ first: '', height: 0, view: 0 });
  useLayoutEffect(() => {
    const e = box.current!, b = before.current;
    // By position, not by isAtEnd: the scroll event may still be pending.
    if (e.scrollTop + b.view > b.height - nearEnd) e.scrollTop = e.scrollHeight;
    else if (b.first !== first) e.scrollTop += e.scrollHeight - b.height;
    before.current = { first, height: e.scrollHeight, view: e.clientHeight };
  });
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

function EarlierButton({ load }: { load: () => Promise<void> }) {
  const [state, setState] = useState<'idle' | 'busy' | 'failed'>('idle');
  const click = () => {
    setState('busy');
    load().then(() => setState('idle'), () => setState('failed'));
  };
  return (
    <button type="button" className="earlier" onClick={click} disabled={state === 'busy'}>
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
  isFirstUnread: boolean;
}

function Bubble({ message, before, isOwn, wasOwn, isFirstUnread }: BubbleProps) {
  const at = new Date(message.createdAt);
  const isNewDay = !before || day.format(new Date(before.createdAt)) !== day.format(at);
  const goesOn = !isNewDay && !isFirstUnread && before?.senderName === message.senderName && wasOwn === isOwn
    && at.getTime() - new Date(before.createdAt).getTime() < 300_000;
  return (
    <>
      {isNewDay && <li className="divider"><span>{day.format(at)}</span></li>}
      {isFirstUnread && <li className="divider unread"><span>New</span></li>}
      <li className={`message${isOwn ? ' own' : ''}${goesOn ? ' goes-on' : ''}`} style={{ '--hue': hue(message.senderName) } as object}>
        {!goesOn && !isOwn && <span className="avatar" aria-hidden="true">{[...message.senderName][0]?.toUpperCase()}</span>}
        <div className="bubble">
          <span className={goesOn || isOwn ? 'unseen' : 'sender'}>{isOwn ? 'You' : message.senderName}</span>
          <p>{message.content}</p>
          <time dateTime={message.createdAt}>{time.format(at)}</time>
        </div>
      </li>
    </>
  );
}

function DraftBubble({ draft, onRetry, onDiscard }: { draft: Draft; onRetry: () => void; onDiscard: () => void }) {
  return (
    <li className={`message own draft${draft.failure ? ' failed' : ''}`}>
      <div className="bubble">
        <span className="unseen">You</span>
        <p>{draft.content}</p>
        <time dateTime={draft.createdAt}>{draft.failure ? 'Not sent' : 'Sending…'}</time>
      </div>
      {draft.failure && (
        <p className="failure">
          {draft.failure} <button type="button" onClick={onRetry}>Send again</button> <button type="button" onClick={onDiscard}>Discard</button>
        </p>
      )}
    </li>
  );
}
