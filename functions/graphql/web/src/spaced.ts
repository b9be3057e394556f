/**
 * Spaces calls: the first is made at once, the next not before a pause, and of those
 * meanwhile only the last.
 */
export function spaced<T>(pause: number, call: (value: T) => void) {
  let timer: ReturnType<typeof setTimeout> | undefined, next: { value: T } | undefined;
  const fire = () => {
    timer = undefined;
    if (!next) return;
    const { value } = next;
    next = undefined;
    timer = setTimeout(fire, pause);
    call(value);
  };
  return {
    call(value: T) {
      next = { value };
      if (timer === undefined) fire();
    },
    /** Forgets the call that waits. */
    drop: () => void (next = undefined),
  };
}
