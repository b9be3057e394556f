/** A value that components read with useSyncExternalStore. */
export class Observed<T> {
  #listeners = new Set<() => void>();
  #value: T;
  constructor(value: T) {
    this.#value = value;
  }
  get = () => this.#value;
  set(value: T) {
    this.#value = value;
    for (const listener of this.#listeners) listener();
  }
  listen = (listener: () => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };
}
