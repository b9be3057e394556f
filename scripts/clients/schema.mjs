// Compares a schema with what a server says of itself:
//   node schema.mjs SDL_FILE INTROSPECTION_RESULT_FILE
// Fails unless graphql-js takes the file as a valid schema, and prints both alike.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { buildClientSchema, buildSchema, lexicographicSortSchema, printSchema, validateSchema } from 'graphql';

const [written, said] = process.argv.slice(2).map((file) => readFileSync(file, 'utf8'));
const schema = buildSchema(written);
assert.deepEqual(validateSchema(schema), []);
const print = (s) => printSchema(lexicographicSortSchema(s));
assert.equal(print(schema), print(buildClientSchema(JSON.parse(said).data)));
