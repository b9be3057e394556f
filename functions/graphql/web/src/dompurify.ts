import DOMPurify from 'dompurify';

// The part that GraphiQL's editor, Monaco, uses of its own copy of DOMPurify
// (3.1.7 in 0.52.2, the newest that monaco-graphql takes); see vite.config.ts.
export const { addHook, removeHook, removeAllHooks, isSupported, sanitize } = DOMPurify;
