const segmenter = new Intl.Segmenter();

/** What people count as the characters of a text: a letter with its accents, a family. */
export const graphemes = (text: string): string[] => [...segmenter.segment(text)].map((s) => s.segment);

/** The character that stands for a name. */
export const initialOf = (name: string): string => graphemes(name.trim())[0]?.toUpperCase() ?? '';

/** A name that keeps its direction of writing to itself, for use within a sentence. */
export const isolated = (name: string): string => `\u2068${name}\u2069`;

const longestName = 30; // graphemes
const mostBytes = 128; // of UTF-8, as the server allows for names and chats

/** Whether people and the server take a text as the name of somebody, or of a chat. */
export const isShort = (name: string): boolean =>
  graphemes(name).length <= longestName && new TextEncoder().encode(name).length <= mostBytes;
