import { useEffect, useRef, useState } from 'react';
import { newest, type Message } from './messages.ts';

/** What others wrote while the user was away. */
export interface Unread {
  after: string; // the last id that the user had read; "" if nothing is new
  count: number;
}

const settling = 2000; // ms after the user has come back, in which what was missed comes

/**
 * Counts in the title what others write while the tab is hidden. What is returned stays
 * for the user to see when the tab is shown again, until it is hidden once more. before
 * is how far the user had read on an earlier visit, "" for a first one or while it is unknown.
 */
export function useUnread(messages: readonly Message[], isOwn: (m: Message) => boolean, title: string, before: string): Unread {
  const [away, setAway] = useState({ after: '', until: '' }); // until the newest id on coming back
  const latest = useRef(messages);
  latest.current = messages;
  const [isHidden, setHidden] = useState(document.hidden);
  useEffect(() => {
    const follow = () => {
      if (document.hidden) setAway({ after: newest(latest.current), until: '' });
      setHidden(document.hidden);
    };
    document.addEventListener('visibilitychange', follow);
    return () => document.removeEventListener('visibilitychange', follow);
  }, []);
  useEffect(() => setAway((a) => (a.after ? a : { ...a, after: before })), [before]);
  const isBack = !isHidden && messages.length > 0;
  useEffect(() => {
    if (!isBack) return;
    const timer = setTimeout(() => setAway((a) => ({ ...a, until: newest(latest.current) })), settling);
    return () => clearTimeout(timer);
  }, [isBack]);
  const isNew = (m: Message) => m.id > away.after && (away.until === '' || m.id <= away.until) && !isOwn(m);
  const count = away.after ? messages.filter(isNew).length : 0;
  useEffect(() => {
    document.title = isHidden && count > 0 ? `(${count}) ${title}` : title;
    return () => void (document.title = 'Subwire');
  }, [isHidden, count, title]);
  return { after: count > 0 ? away.after : '', count };
}
