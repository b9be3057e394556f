/** Web Storage. Where that is blocked or full, what is written lasts as long as the page. */
export class Storage {
  #memory = new Map<string, string>();
  #kept: () => globalThis.Storage;
  constructor(kept: () => globalThis.Storage) {
    this.#kept = kept;
  }
  get(key: string): string | null {
    return this.#memory.get(key) ?? this.#try((kept) => kept.getItem(key)) ?? null;
  }
  set(key: string, value: string) {
    const isKept = this.#try((kept) => {
      kept.setItem(key, value);
      return true;
    });
    if (isKept) this.#memory.delete(key);
    else this.#memory.set(key, value);
  }
  remove(key: string) {
    this.#memory.delete(key);
    this.#try((kept) => kept.removeItem(key));
  }
  keys(): string[] {
    return [...new Set([...this.#memory.keys(), ...(this.#try(Object.keys) ?? [])])];
  }
  #try<T>(use: (kept: globalThis.Storage) => T): T | undefined {
    try {
      return use(this.#kept());
    } catch {
      return undefined;
    }
  }
}

export const local = new Storage(() => localStorage), session = new Storage(() => sessionStorage);

/** 128 random bits. crypto.randomUUID is missing on pages without HTTPS. */
export const randomId = (): string =>
  [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
