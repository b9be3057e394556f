import { useEffect, useRef, useSyncExternalStore } from 'react';
import type { Listening, Listenings } from './listening.ts';
import type { Observed } from './observed.ts';
import type { Status } from './socket.ts';
import { StatusBadge } from './StatusBadge.tsx';

interface Props {
  listenings: Listenings;
  status: Observed<Status> | undefined; // of the socket; undefined before there is one
}

/** Lists the subscriptions that run, with what each has got. */
export function ListeningPane({ listenings, status }: Props) {
  const all = useSyncExternalStore(listenings.all.listen, listenings.all.get);
  return (
    <section className="listenings" aria-label="Subscriptions">
      <header>
        <h2>Subscriptions</h2>
        {status && <StatusBadge status={status} hasFailed={false} />}
      </header>
      {all.length === 0 && <p>None runs. Run one: it listens here while you run other operations, in any tab.</p>}
      {all.map((one) => (
        <Results key={one.id} of={one} onStop={() => listenings.stop(one.id)} onRemove={() => listenings.remove(one.id)} />
      ))}
    </section>
  );
}

const states = { running: 'listening', complete: 'complete', stopped: 'stopped', refused: 'refused' };

function Results({ of, onStop, onRemove }: { of: Listening; onStop: () => void; onRemove: () => void }) {
  const title = `listening-${of.id}`, isRunning = of.state === 'running';
  const list = useRef<HTMLDivElement>(null), isAtEnd = useRef(true);
  useEffect(() => {
    if (isAtEnd.current) list.current?.scrollTo(0, list.current.scrollHeight);
  }, [of.count]);
  const follow = ({ currentTarget: l }: { currentTarget: HTMLElement }) => {
    isAtEnd.current = l.scrollHeight - l.scrollTop - l.clientHeight < 8;
  };
  return (
    <article aria-labelledby={title} data-state={of.state}>
      <header>
        <h3 id={title}>{of.name}</h3>
        <p>
          {states[of.state]} · {of.count === 1 ? '1 event' : `${of.count} events`}
          {of.count > of.newest.length && `, the last ${of.newest.length} listed`}
        </p>
        <button type="button" onClick={isRunning ? onStop : onRemove}>{isRunning ? 'Stop' : 'Remove'}</button>
      </header>
      {of.why && <p role="alert">{of.why}</p>}
      {isRunning && of.count === 0 && <p>Waiting for an event.</p>}
      {of.count > 0 && (
        <div ref={list} onScroll={follow} className="log" role="log" tabIndex={0} aria-labelledby={title}>
          <ol>
            {of.newest.map(({ n, at, text }) => (
              <li key={n}>
                <span>#{n}</span> <time dateTime={new Date(at).toISOString()}>{clock.format(at)}</time>{' '}
                <code>{text}</code>
              </li>
            ))}
          </ol>
        </div>
      )}
    </article>
  );
}

const clock = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3, hourCycle: 'h23',
});
