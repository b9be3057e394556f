import { useEffect, useRef, useState } from 'react';
import { newest, type Message } from './messages.ts';

interface Props {
  messages: readonly Message[];
  isRead: boolean; // whether the history is there
  isOwn: (m: Message) => boolean;
}

const mostAtOnce = 3; // messages; of more only the number is read
const kept = 10; // lines; what is gone from the page is not read again

/** Tells screen readers of each message that comes, once, and not of the history. */
export function Announcer({ messages, isRead, isOwn }: Props) {
  const [lines, setLines] = useState<readonly { id: string; text: string }[]>([]);
  const heard = useRef<{ after: string; ids: Set<string> }>(undefined);
  useEffect(() => {
    if (!isRead) return;
    heard.current ??= { after: newest(messages), ids: new Set() };
    const { after, ids } = heard.current;
    const fresh = messages.filter((m) => m.id > after && !ids.has(m.id));
    if (fresh.length === 0) return;
    for (const m of fresh) ids.add(m.id);
    const news = fresh.map((m) => ({ id: m.id, text: `${isOwn(m) ? 'You' : m.senderName}: ${m.content}` }));
    const said = news.length > mostAtOnce ? [{ id: news[0]!.id, text: `${news.length} new messages` }] : news;
    setLines((all) => [...all, ...said].slice(-kept));
  }, [messages, isRead]);
  return (
    <div role="log" aria-label="New messages" className="unseen">
      {lines.map(({ id, text }) => <p key={id} dir="auto">{text}</p>)}
    </div>
  );
}
