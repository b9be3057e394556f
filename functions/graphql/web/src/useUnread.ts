import { useEffect, useRef, useState } from 'react';
import { newest, type Message } from './messages.ts';

/**
 * Counts in the title what others write while the tab is hidden. Returns the
 * last id that the user has read, "" if everything is read. It stays for the
 * user to see when the tab is shown again, until it is hidden once more.
 */
export function useUnread(messages: readonly Message[], isOwn: (m: Message) => boolean, title: string): string {
  const [mark, setMark] = useState('');
  const latest = useRef(messages);
  latest.current = messages;
  const [isHidden, setHidden] = useState(document.hidden);
  useEffect(() => {
    const follow = () => {
      if (document.hidden) setMark(newest(latest.current));
      setHidden(document.hidden);
    };
    document.addEventListener('visibilitychange', follow);
    return () => document.removeEventListener('visibilitychange', follow);
  }, []);
  const unread = mark ? messages.filter((m) => m.id > mark && !isOwn(m)).length : 0;
  useEffect(() => {
    document.title = isHidden && unread > 0 ? `(${unread}) ${title}` : title;
    return () => void (document.title = 'Subwire');
  }, [isHidden, unread, title]);
  return unread > 0 ? mark : '';
}
