// The reference for scripts/langdiff: what graphql-js makes of operations.
//   node graphql-js.mjs SCHEMA.graphql WORLD.json
// Each line of standard input is a case, {"document", "operation", "variables"},
// where variables is the text of a JSON object or empty. Each line of standard
// output is its verdict:
//   stage    which refused: parse, validate (or no such operation), coerce; or execute;
//            or crash, if graphql-js threw
//   kind     query, mutation or subscription
//   topic    a subscription's arguments as JSON, once its event stream was made
//   data     of an execution, as text in the order of its keys
//   errors   of that stage: path, locations as [line, column] in characters, rule
// A line {"print": SDL} is answered with the schema, sorted, as printSchema prints
// it; {"introspection": OPTIONS} with the introspection query.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import {
  buildSchema, createSourceEventStream, execute, getIntrospectionQuery, getOperationAST, getVariableValues,
  lexicographicSortSchema, parse, printSchema, specifiedRules, validate, valueFromASTUntyped,
} from 'graphql';

const [schemaFile, worldFile] = process.argv.slice(2);
const schema = lexicographicSortSchema(buildSchema(readFileSync(schemaFile, 'utf8')));
const world = JSON.parse(readFileSync(worldFile, 'utf8'));

// canonical is the JSON of arguments, with the keys of objects in order.
function canonical(v) {
  if (Array.isArray(v)) return `[${v.map(canonical)}]`;
  if (v === null || typeof v !== 'object') return JSON.stringify(v);
  return `{${Object.keys(v).sort().map((key) => `${JSON.stringify(key)}:${canonical(v[key])}`)}}`;
}

const fail = () => { throw new Error('This field fails.'); };
const failLater = async () => fail();
const append = (_, { v }, { log }) => { log.push(v); return [...log]; };
const appendAndFail = (_, { v }, { log }) => { log.push(v); fail(); };
const named = (source, { upper }) => (upper ? source.name.toUpperCase() : source.name);
const nest = (_, { v }, { log }) => { log.push(v); return {}; };

const values = { ...world.Results, NaN, Infinity, '-Infinity': -Infinity }; // JSON lacks some of these

// result has one of the values for every field, or null.
function result(of) {
  const v = Object.hasOwn(values, of) ? values[of] : null;
  return { int: v, float: v, string: v, boolean: v, id: v, color: v, day: v, required: v, floats: [1, v], grid: [[1, v], [2]] };
}

const resolvers = {
  Query: {
    node: (_, { id }) => Object.values(world).find((w) => w.id === id),
    nodes: () => [world.Person, world.Robot, world.Rock],
    named: () => world.Robot,
    being: (_, { robot }) => (robot ? world.Robot : world.Person),
    beings: () => [world.Robot, null, world.Person],
    things: () => [[world.Robot, world.Rock], null, []],
    person: () => world.Person,
    robot: () => world.Robot,
    values: () => world.Values,
    valuesRequired: () => world.Values,
    faults: () => world.Faults,
    faultsRequired: () => world.Faults,
    result: (_, { of }) => result(of),
  },
  Mutation: {
    add: append, addAndFail: appendAndFail, addAndFailRequired: appendAndFail, nest,
    log: (_, __, { log }) => [...log],
  },
  Nest: { add: append, nest, log: (_, __, { log }) => [...log] },
  Person: {
    name: named, friend: () => world.Rock, friends: () => [world.Robot, world.Person], pet: () => world.Robot,
    faults: () => world.Faults,
  },
  Robot: { name: named, owner: () => world.Person },
  Rock: { owner: () => null },
  Faults: {
    fails: fail, failsRequired: fail, failsOld: fail, beside: fail, besideRequired: fail,
    besideColor: fail, besideAny: fail, besideObject: fail, besideObjectRequired: fail, besideNode: fail, besideBeing: fail,
    besideList: fail, besideListRequired: fail, besideGrid: fail,
    later: async () => 'text', laterObject: async () => world.Faults, laterFails: failLater, laterFailsRequired: failLater,
    laterItems: () => [Promise.resolve(world.Faults), failLater(), null], laterItemsRequired: () => ['text', failLater()],
    child: () => world.Faults, childRequired: () => world.Faults,
    children: () => [world.Faults, null, world.Faults], childrenRequired: () => [world.Faults, world.Faults],
  },
  Subscription: {
    count: () => 42, watch: () => world.Faults, person: () => world.Person, being: () => world.Robot,
    values: () => world.Values,
  },
};

for (const type of [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType(),
  ...['Nest', 'Person', 'Robot', 'Rock', 'Faults'].map((name) => schema.getType(name))]) {
  for (const field of Object.values(type.getFields())) {
    field.resolve = resolvers[type.name][field.name];
    if (!field.resolve && ['Query', 'Mutation'].includes(type.name)) field.resolve = (_, args) => canonical(args);
  }
}
for (const field of Object.values(schema.getSubscriptionType().getFields())) {
  field.subscribe = (_, args, context) => {
    context.topic = canonical(args);
    return (async function* () { yield {}; })();
  };
}

const isDay = (v) => typeof v === 'string' && /^\d{4}-\d{2}-\d{2}$/.test(v);
const day = (v) => {
  if (!isDay(v)) throw new Error('This is no day.');
  return v;
};
schema.getType('Day').serialize = day;
schema.getType('Day').parseValue = day;
schema.getType('Day').parseLiteral = (node, variables) => day(valueFromASTUntyped(node, variables));

// places are an error's locations. Columns count characters, not UTF-16 units.
function places(error) {
  const lines = error.source?.body.split(/\r\n|[\n\r]/);
  return (error.locations ?? []).map(({ line, column }) =>
    [line, [...lines[line - 1].slice(0, column - 1)].length + 1]);
}

const described = (errors = [], rule) =>
  errors.map((e) => ({ path: e.path, locations: places(e), message: e.message, rule }));

// violations are the errors of all rules. Each rule runs alone only to learn its
// name. SingleFieldSubscriptionsRule throws on @skip with a variable, which also
// refuses the document.
function violations(document) {
  if (errorsOf(document, specifiedRules).length === 0) return [];
  return specifiedRules.flatMap((rule) => described(errorsOf(document, [rule]), rule.name));
}

function errorsOf(document, rules) {
  try {
    return validate(schema, document, rules);
  } catch (e) {
    return [e];
  }
}

async function verdict({ document: text, operation: name, variables: raw }) {
  let document;
  try {
    document = parse(text);
  } catch (e) {
    return { stage: 'parse', errors: described([e]) };
  }
  const invalid = violations(document);
  if (invalid.length > 0) return { stage: 'validate', errors: invalid };
  const operation = getOperationAST(document, name || undefined);
  if (!operation) return { stage: 'validate', errors: [{ locations: [], rule: 'operationName' }] };
  const kind = operation.operation;
  const variables = raw ? JSON.parse(raw) : undefined;
  const coerced = getVariableValues(schema, operation.variableDefinitions ?? [], variables ?? {}, { maxErrors: 50 });
  if (coerced.errors) return { stage: 'coerce', kind, errors: described(coerced.errors) };
  const contextValue = { log: [] };
  const args = { schema, document, operationName: name || undefined, variableValues: variables, contextValue };
  if (kind === 'subscription') {
    const stream = await createSourceEventStream(args);
    if (!(Symbol.asyncIterator in stream)) return { stage: 'coerce', kind, errors: described(stream.errors) };
    for await (const event of stream) args.rootValue = event;
  }
  const result = await execute(args);
  return {
    stage: 'execute', kind, topic: contextValue.topic, data: JSON.stringify(result.data ?? null),
    errors: described(result.errors),
  };
}

const sorted = (sdl) => lexicographicSortSchema(buildSchema(sdl));

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let answer;
  if (request.print) answer = { printed: `${printSchema(sorted(request.print))}\n` };
  else if (request.introspection) answer = { document: getIntrospectionQuery(request.introspection) };
  else answer = await verdict(request).catch((e) => ({ stage: 'crash', errors: [{ message: e.message }] }));
  console.log(JSON.stringify(answer));
}
