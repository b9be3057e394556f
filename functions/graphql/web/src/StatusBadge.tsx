import { useEffect, useState, useSyncExternalStore } from 'react';
import type { Observed } from './observed.ts';
import type { Status } from './socket.ts';

/** Shows the state of the connection. Screen readers announce changes, but not every second. */
export function StatusBadge({ status, hasFailed }: { status: Observed<Status>; hasFailed: boolean }) {
  const now = useSyncExternalStore(status.listen, status.get);
  const seconds = useSecondsUntil(now.state === 'reconnecting' ? now.at : 0);
  const text = { connecting: hasFailed ? 'Not connected' : 'Connecting…', live: 'Live', reconnecting: 'Reconnecting…', offline: 'Offline', refused: 'Refused' }[now.state];
  return (
    <p className="status" data-state={now.state}>
      <span className="dot" aria-hidden="true" />
      <span role="status" className={seconds > 0 ? 'unseen' : undefined}>{text}</span>
      {seconds > 0 && <span aria-hidden="true">{`Reconnecting in ${seconds} s`}</span>}
    </p>
  );
}

/** The seconds left, 0 once the time has come. */
function useSecondsUntil(at: number): number {
  const [, tick] = useState(0);
  const left = Math.max(0, Math.ceil((at - Date.now()) / 1000));
  useEffect(() => {
    if (left === 0) return;
    const timer = setTimeout(() => tick((n) => n + 1), 250);
    return () => clearTimeout(timer);
  });
  return left;
}
