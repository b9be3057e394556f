import DOMPurify from 'dompurify';

// What GraphiQL's editor, Monaco, uses of the copy of DOMPurify that it brings
// (3.1.7 in 0.52.2, the newest that monaco-graphql takes); see vite.config.ts.
export const { addHook, removeHook, removeAllHooks, isSupported, sanitize } = DOMPurify;
